import type { BlockDevice } from '../block/device.ts';

/** Bytes that lie over those of a device. */
export interface Patch {
	readonly byteOffset: number;
	readonly bytes: Buffer;
}

/** A device with some small pieces of it, which do not overlap, replaced. */
export class PatchedDevice implements BlockDevice {
	readonly sizeBytes: number;
	readonly #device: BlockDevice;
	/** In ascending order. */
	readonly #patches: readonly Patch[];

	constructor(device: BlockDevice, patches: readonly Patch[]) {
		this.sizeBytes = device.sizeBytes;
		this.#device = device;
		this.#patches = [...patches].sort((a, b) => a.byteOffset - b.byteOffset);
	}

	read(byteOffset: number, into: Uint8Array): void {
		this.#device.read(byteOffset, into);
		const end = byteOffset + into.length;
		for (let i = this.#firstEndingAfter(byteOffset); i < this.#patches.length; i++) {
			const { byteOffset: start, bytes } = this.#patches[i]!;
			if (start >= end) break;
			const from = Math.max(start, byteOffset);
			into.set(bytes.subarray(from - start, end - start), from - byteOffset);
		}
	}

	announceRead(byteOffset: number, lengthBytes: number): void {
		this.#device.announceRead?.(byteOffset, lengthBytes);
	}

	/** The device below belongs to who opened it. */
	close(): void {}

	#firstEndingAfter(byteOffset: number): number {
		let low = 0;
		let high = this.#patches.length;
		while (low < high) {
			const middle = (low + high) >>> 1;
			const { byteOffset: start, bytes } = this.#patches[middle]!;
			if (start + bytes.length <= byteOffset) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}
