import { FileDevice } from '../block/file-device.ts';
import { DiffAreaReader, ShadowView } from '../diff/shadow-view.ts';
import type { DeviceSpecification } from '../shadow/provider.ts';

/** Opens the devices of shadow copies in this thread; copies of one diff area share what they can. */
export class ShadowDevices {
	#volume: FileDevice | undefined;
	#reader: DiffAreaReader | undefined;

	open(specification: DeviceSpecification): ShadowView {
		this.#volume ??= FileDevice.open(specification.volumePath, 'read');
		this.#reader ??= new DiffAreaReader(specification.diffArea);
		return new ShadowView(this.#volume, this.#reader, specification.epoch);
	}

	/** Lets go of what only copies that are gone were reading. */
	release(living: readonly DeviceSpecification[]): void {
		const oldest = living.reduce((least, { epoch }) => Math.min(least, epoch), Number.POSITIVE_INFINITY);
		this.#reader?.closeSegmentsBefore(oldest);
	}

	close(): void {
		this.#reader?.close();
		this.#volume?.close();
	}
}
