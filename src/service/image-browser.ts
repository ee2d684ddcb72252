/**
 * An image as an ordinary user mounts it: to look at, without a live device. Its tree shows the volume as it is, and the
 * shadow copies, where the user may read the storage. Nothing is written but the user's own runtime directory.
 */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { FileDevice } from '../block/file-device.ts';
import type {
	FileSystemReport,
	InspectSelection,
	ShadowCopyReport,
	StatusReport,
	StorageReport,
	VolumeEvent,
} from '../control/messages.ts';
import { readStoredCopies, type StoredCopies } from '../diff/stored-copies.ts';
import { refused } from '../errors.ts';
import { PRESENT_NAME, PRESENT_NUMBER } from '../fuse/browse-tree.ts';
import type { ProvidedCopy } from '../shadow/provider.ts';
import type { ShadowCopy } from '../shadow/shadow-copy.ts';
import { tryLockShared } from '../system/libc.ts';
import { BrowseMount } from './browse-mount.ts';
import { copyReport, selectCopies } from './copy-report.ts';
import { EventLog } from './event-log.ts';
import { inspectCopy } from './inspect.ts';
import type { BrowsableCopy } from './messages.ts';
import type { MountPlan } from './mount-plan.ts';
import { mountUsers, namesOf } from './mount-users.ts';
import type { MountedVolume } from './mounted-volume.ts';
import type { VolumePaths } from './runtime-directory.ts';
import type { Surroundings } from './volume-service.ts';
import { volumeStamp } from './volume-stamp.ts';

export class ImageBrowser implements MountedVolume {
	readonly #paths: VolumePaths;
	readonly #device: FileDevice;
	readonly #stored: StoredCopies | undefined;
	readonly #copies: readonly ProvidedCopy[];
	readonly #events: EventLog;
	readonly #browse: BrowseMount;
	#ending = false;

	/** Errors: refused `image-in-use` where a service uses it; those of reading the storage and of mounting. */
	constructor({ paths, allowOther, cacheBytes }: MountPlan, { nowMs }: Surroundings) {
		const { image, mountpoint, storage } = paths;
		this.#paths = paths;
		this.#events = new EventLog(storage, nowMs);
		this.#device = openShared(image);
		try {
			this.#stored = this.#readStorage();
			this.#copies = providedCopies(image, this.#stored);
			const copies = [presentState(image, nowMs()), ...this.#copies.map(browsable)];
			this.#browse = new BrowseMount(
				{ mountPoint: mountpoint, source: image, allowOther, cacheBytes },
				{ copies, changedAtMs: nowMs() },
			);
		} catch (error) {
			this.#device.close();
			throw error;
		}
	}

	#readStorage(): StoredCopies | undefined {
		const { image, storage } = this.#paths;
		try {
			accessSync(join(storage, 'catalog'), constants.R_OK);
		} catch (error) {
			const { code } = error as NodeJS.ErrnoException;
			if (code !== 'ENOENT')
				this.#events.note('storage-unreadable', code!, `${storage} cannot be read: its shadow copies are not shown`);
			return undefined;
		}
		const { sizeBytes } = this.#device;
		return readStoredCopies({ directory: storage, volumeSizeBytes: sizeBytes, volumeStamp: volumeStamp(image) });
	}

	async status(): Promise<StatusReport> {
		const volume = {
			...this.#paths,
			pid: process.pid,
			shadowCopyCount: this.#copies.length,
			frozen: false,
			readOnly: true,
		};
		return { volume, storage: await this.storage(), events: this.#events.all.slice(-20) };
	}

	async storage(): Promise<StorageReport> {
		const { usedBytes, allocatedBytes } = this.#stored ?? { usedBytes: 0, allocatedBytes: 0 };
		const { image: volume, storage: path } = this.#paths;
		return { volume, path, usedBytes, allocatedBytes, maximumBytes: null, freeSpaceKnown: true };
	}

	async shadowCopies(): Promise<ShadowCopyReport[]> {
		return this.#copies.map((provided) => copyReport(provided, 'system', this.#paths));
	}

	async inspect(copy: string, selection: InspectSelection): Promise<FileSystemReport> {
		const [{ device }] = selectCopies(this.#copies, { named: [copy] }) as [ProvidedCopy];
		return inspectCopy({ device, selection });
	}

	async create(): Promise<never> {
		throw this.#isReadOnly();
	}

	async resize(): Promise<never> {
		throw this.#isReadOnly();
	}

	async delete(): Promise<never> {
		throw this.#isReadOnly();
	}

	#isReadOnly() {
		return refused('read-only', `${this.#paths.image}: is mounted to look at only; root can mount it for use`);
	}

	events(): readonly VolumeEvent[] {
		return this.#events.all;
	}

	follow(gone: AbortSignal): AsyncGenerator<VolumeEvent> {
		return this.#events.follow(gone);
	}

	async unmount(): Promise<void> {
		const { mountpoint } = this.#paths;
		const users = mountUsers(mountpoint);
		if (users.length > 0)
			throw refused('mount-busy', `${mountpoint}: in use by ${namesOf(users)}; end them or let them leave it first`);
		await this.#end({ detach: false });
	}

	endLazily(): Promise<void> {
		return this.#end({ detach: true });
	}

	async #end(options: { detach: boolean }): Promise<void> {
		this.#ending = true;
		try {
			this.#browse.unmount(options);
		} catch (error) {
			this.#ending = false;
			throw error;
		}
		await this.#browse.ended;
		this.#device.close();
		this.#events.close();
	}

	async lost(): Promise<string> {
		await this.#browse.ended;
		return this.#ending ? new Promise(() => {}) : 'the tree was unmounted';
	}
}

/** Several may look at an image at the same time; a service that lets it be written holds the lock alone. */
function openShared(image: string): FileDevice {
	const device = FileDevice.open(image, 'read');
	if (tryLockShared(device.fd)) return device;
	device.close();
	throw refused('image-in-use', `${image}: is in use by another process that holds its lock`);
}

const providedCopies = (volumePath: string, stored: StoredCopies | undefined): ProvidedCopy[] =>
	stored?.copies.map(({ epoch, label, preservedBytes }) => ({
		copy: label as ShadowCopy,
		number: epoch,
		preservedBytes,
		device: { kind: 'diff-area', volumePath, diffArea: stored.share, epoch },
	})) ?? [];

const browsable = ({ copy, device, number }: ProvidedCopy): BrowsableCopy => ({
	...{ number, device },
	...{ name: copy.name, createdAtMs: copy.createdAtMs },
});

const presentState = (volumePath: string, nowMs: number): BrowsableCopy => ({
	...{ number: PRESENT_NUMBER, name: PRESENT_NAME },
	...{ createdAtMs: nowMs, device: { kind: 'volume', volumePath } },
});
