import type { BlockDevice } from '../../src/block/device.ts';

/** An image in memory that can be damaged, and made sound again. */
export class DamagedImage implements BlockDevice {
	readonly sizeBytes: number;
	readonly #bytes: Buffer;
	readonly #saved: { readonly at: number; readonly bytes: Buffer }[] = [];

	/** Takes the buffer over. */
	constructor(sound: Buffer) {
		this.#bytes = sound;
		this.sizeBytes = sound.length;
	}

	read(byteOffset: number, into: Uint8Array): void {
		if (byteOffset + into.length > this.sizeBytes) throw new RangeError('a read past the end of the device');
		this.#bytes.copy(into, 0, byteOffset, byteOffset + into.length);
	}

	close(): void {}

	patch(byteOffset: number, lengthBytes: number, change: (bytes: Buffer) => void): void {
		const bytes = this.#bytes.subarray(byteOffset, byteOffset + lengthBytes);
		this.#saved.push({ at: byteOffset, bytes: Buffer.from(bytes) });
		change(bytes);
	}

	/** Sound again. */
	reset(): void {
		for (const { at, bytes } of this.#saved.splice(0).reverse()) bytes.copy(this.#bytes, at);
	}
}
