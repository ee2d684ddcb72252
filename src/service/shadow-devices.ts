import type { BlockDevice } from '../block/device.ts';
import { FileDevice } from '../block/file-device.ts';
import { DiffAreaReader } from '../diff/diff-area-reader.ts';
import { ShadowView } from '../diff/shadow-view.ts';
import type { DeviceSpecification } from '../shadow/provider.ts';

/** Opens the devices of shadow copies in this thread; copies of one diff area share what they can. */
export class ShadowDevices {
	#volume: FileDevice | undefined;
	#reader: DiffAreaReader | undefined;

	open(specification: DeviceSpecification): BlockDevice & { isGone(): boolean } {
		this.#volume ??= FileDevice.open(specification.volumePath, 'read');
		if (specification.kind === 'volume') return new Unchanging(this.#volume);
		this.#reader ??= new DiffAreaReader(specification.diffArea);
		return new ShadowView(this.#volume, this.#reader, specification.epoch);
	}

	/** Lets go of what only copies that are gone were reading. */
	release(living: readonly DeviceSpecification[]): void {
		const epochs = living.map((device) => (device.kind === 'diff-area' ? device.epoch : Number.POSITIVE_INFINITY));
		const oldest = epochs.reduce((least, epoch) => Math.min(least, epoch), Number.POSITIVE_INFINITY);
		this.#reader?.closeSegmentsBefore(oldest);
	}

	close(): void {
		this.#reader?.close();
		this.#volume?.close();
	}
}

/** A volume that nobody writes to is its own copy. */
class Unchanging implements BlockDevice {
	readonly sizeBytes: number;
	readonly #volume: BlockDevice;

	constructor(volume: BlockDevice) {
		this.sizeBytes = volume.sizeBytes;
		this.#volume = volume;
	}

	read(byteOffset: number, into: Uint8Array): void {
		this.#volume.read(byteOffset, into);
	}

	announceRead(byteOffset: number, lengthBytes: number): void {
		this.#volume.announceRead?.(byteOffset, lengthBytes);
	}

	isGone(): boolean {
		return false;
	}

	close(): void {}
}
