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
	VerifyNews,
	VolumeEvent,
} from '../control/messages.ts';
import { CATALOG_NAMES } from '../diff/catalog.ts';
import { readStoredCopies, type StoredCopies } from '../diff/stored-copies.ts';
import { missing, refused } from '../errors.ts';
import { PRESENT_NAME, PRESENT_NUMBER } from '../fuse/browse-tree.ts';
import type { ProvidedCopy } from '../shadow/provider.ts';
import { tryLockShared } from '../system/libc.ts';
import { browsableCopies, copyReport } from './copy-report.ts';
import { CopyStates } from './copy-states.ts';
import { EventLog } from './event-log.ts';
import { inspectCopy } from './inspect.ts';
import type { BrowsableCopy } from './messages.ts';
import type { MountPlan } from './mount-plan.ts';
import { checkNotUsed } from './mount-users.ts';
import type { MountedVolume } from './mounted-volume.ts';
import type { VolumePaths } from './runtime-directory.ts';
import { endTree, endUnusedTree, type ServedTree, serveTree } from './served-tree.ts';
import { storedAsProvided } from './stored-provider.ts';
import { verifyOrder, verifyProvided } from './verify.ts';
import { volumeAsItIs } from './volume-as-it-is.ts';
import { readMark } from './volume-mark.ts';
import type { Surroundings } from './volume-service.ts';

interface Parts {
	readonly paths: VolumePaths;
	readonly events: EventLog;
	readonly device: FileDevice;
	readonly stored: StoredCopies | undefined;
	readonly copies: readonly ProvidedCopy[];
	readonly states: CopyStates;
	readonly tree: ServedTree;
}

export class ImageBrowser implements MountedVolume {
	readonly #parts: Parts;
	#ending = false;

	/** Errors: refused `image-in-use` where a service uses it; those of reading the storage and of mounting. */
	static async start(plan: MountPlan, volumePath: string, { nowMs }: Surroundings): Promise<ImageBrowser> {
		const { paths, allowOther, cacheBytes, transport, replayJournal } = plan;
		const { image, mountpoint, storage } = paths;
		const events = new EventLog(storage, nowMs);
		const device = openShared(volumePath);
		try {
			const stored = readStorage(paths, device, events);
			const provided = stored ? storedAsProvided(device.steadyPath, stored) : [];
			const copies = [presentState(device.steadyPath, nowMs()), ...browsableCopies(provided)];
			const options = { mountPoint: mountpoint, source: image, allowOther, cacheBytes, transport };
			const tree = await serveTree(options, { copies, changedAtMs: nowMs(), replayJournal });
			return new ImageBrowser({ paths, events, device, stored, copies: provided, states: new CopyStates(plan), tree });
		} catch (error) {
			device.close();
			throw error;
		}
	}

	private constructor(parts: Parts) {
		this.#parts = parts;
	}

	async status(): Promise<StatusReport> {
		const volume = {
			...this.#parts.paths,
			pid: process.pid,
			shadowCopyCount: this.#parts.copies.length,
			frozen: false,
			readOnly: true,
		};
		return { volume, storage: await this.storage(), events: this.#parts.events.latest };
	}

	async storage(): Promise<StorageReport> {
		const { usedBytes, allocatedBytes } = this.#parts.stored ?? { usedBytes: 0, allocatedBytes: 0 };
		const { image: volume, storage: path } = this.#parts.paths;
		return { volume, path, usedBytes, allocatedBytes, maximumBytes: null, freeSpaceKnown: true };
	}

	async shadowCopies(): Promise<ShadowCopyReport[]> {
		const { copies, states, paths } = this.#parts;
		const found = await states.of(copies);
		return copies.map((provided, i) => copyReport(provided, found[i]!, 'system', paths));
	}

	async inspect(copy: string, selection: InspectSelection): Promise<FileSystemReport> {
		return inspectCopy(this.#parts.copies, copy, selection);
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
		return refused('read-only', `${this.#parts.paths.image}: is mounted to look at only; root can mount it for use`);
	}

	async verify(gone: AbortSignal): Promise<AsyncGenerator<VerifyNews>> {
		const { paths, device, stored, copies } = this.#parts;
		if (!stored) throw missing('no-such-storage', `${paths.image}: there is no storage here that you can read`);
		const order = verifyOrder(device.steadyPath, stored.share, stored.segments, copies);
		return verifyProvided(order, copies, gone);
	}

	events(): readonly VolumeEvent[] {
		return this.#parts.events.all;
	}

	follow(gone: AbortSignal): AsyncGenerator<VolumeEvent> {
		return this.#parts.events.follow(gone);
	}

	async unmount(): Promise<StatusReport> {
		const { paths, tree } = this.#parts;
		checkNotUsed(paths.mountpoint);
		const status = await this.status();
		this.#ending = true;
		try {
			await endUnusedTree(tree);
		} catch (error) {
			this.#ending = false;
			throw error;
		}
		this.#close();
		return status;
	}

	async endPatiently(impatient: AbortSignal): Promise<void> {
		this.#ending = true;
		await endTree(this.#parts.tree, impatient);
		this.#close();
	}

	#close(): void {
		this.#parts.device.close();
		this.#parts.events.close();
	}

	async lost(): Promise<string> {
		await this.#parts.tree.ended;
		return this.#ending ? new Promise(() => {}) : 'the tree was unmounted';
	}
}

/** Undefined where there is no storage, or none that can be read: the latter is put on record. */
function readStorage({ storage }: VolumePaths, device: FileDevice, events: EventLog) {
	try {
		accessSync(join(storage, CATALOG_NAMES[0]), constants.R_OK);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code !== 'ENOENT') {
			events.note('storage-unreadable', code!, `${storage} cannot be read: its shadow copies are not shown`);
			return undefined;
		}
	}
	return readStoredCopies({ directory: storage, ...volumeAsItIs(device, readMark(device)) });
}

/** Several may look at an image at the same time; a service that lets it be written holds the lock alone. */
function openShared(volumePath: string): FileDevice {
	const device = FileDevice.open(volumePath, 'read');
	if (tryLockShared(device.fd)) return device;
	device.close();
	throw refused('image-in-use', `${device.path}: is in use by another process that holds its lock`);
}

const presentState = (volumePath: string, nowMs: number): BrowsableCopy => ({
	number: PRESENT_NUMBER,
	name: PRESENT_NAME,
	createdAtMs: nowMs,
	device: { kind: 'volume', volumePath },
});
