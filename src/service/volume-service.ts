/**
 * One volume, put together: the live device and the thread behind it, the data file system that is mounted from it, and
 * the tree of shadow copies. Lives in the main thread, which never waits for these mounts without being asynchronous.
 */
import { statfsSync } from 'node:fs';
import createDebug from 'debug';
import type { FileDevice } from '../block/file-device.ts';
import type {
	CopySelection,
	FileSystemReport,
	InspectSelection,
	MaximumSize,
	ShadowCopyReport,
	StatusReport,
	StorageReport,
	VerifyNews,
	VolumeEvent,
	VolumeReport,
} from '../control/messages.ts';
import { messageOf, refused } from '../errors.ts';
import { checkNoPartMounted, checkNotCovered, isOneFrom } from '../fuse/mount.ts';
import { SystemProvider } from '../providers/system.ts';
import { Coordinator, type VolumeHandle } from '../shadow/coordinator.ts';
import { freeGmtName } from '../shadow/gmt-name.ts';
import type { ProvidedCopy, Provider } from '../shadow/provider.ts';
import type { ShadowCopy } from '../shadow/shadow-copy.ts';
import { browsableCopies, copyReport, selectCopies } from './copy-report.ts';
import { CopyStates } from './copy-states.ts';
import { noteDiffAreaEvent } from './diff-area-events.ts';
import { EventLog } from './event-log.ts';
import { inspectCopy } from './inspect.ts';
import { LiveDevice } from './live-device.ts';
import type { ShownCopies } from './messages.ts';
import type { LiveMountPlan } from './mount-plan.ts';
import { checkNotUsed } from './mount-users.ts';
import type { MountedVolume } from './mounted-volume.ts';
import { NeedReader } from './need-reader.ts';
import type { VolumePaths } from './runtime-directory.ts';
import { endTree, endUnusedTree, type ServedTree, serveTree } from './served-tree.ts';
import { LiveThread } from './thread-clients.ts';
import { verifyOrder, verifyProvided } from './verify.ts';

const log = createDebug('noonmark:service');

/** What a service may not find out by itself: the time, and ids that nobody else has. */
export interface Surroundings {
	nowMs(): number;
	newUuid(): string;
}

export class VolumeService implements MountedVolume {
	readonly paths: VolumePaths & { readonly live: string };
	readonly readOnly: boolean;
	readonly #volumePath: string;
	readonly #surroundings: Surroundings;
	readonly #events: EventLog;
	readonly #coordinator = new Coordinator();
	readonly #live: LiveDevice;
	readonly #provider: Provider;
	readonly #states: CopyStates;
	readonly #replayJournal: boolean;
	readonly #needs: NeedReader;
	#browse: ServedTree | undefined;
	#copies: ProvidedCopy[] = [];
	#creation: Promise<unknown> = Promise.resolve();
	#deletion: Promise<unknown> = Promise.resolve();
	#ending = false;

	/**
	 * Takes everything up: the live device, the data file system, the tree of copies. What was up is taken down again
	 * where a later step fails. The caller keeps the image open until everything is down.
	 */
	static async start(plan: LiveMountPlan, image: FileDevice, surroundings: Surroundings): Promise<VolumeService> {
		const { paths } = plan;
		const events = new EventLog(paths.storage, surroundings.nowMs);
		if (isInMemory(paths.storage)) {
			events.note(
				'storage-in-memory',
				null,
				`${paths.storage} is in memory: at a reboot its shadow copies are lost; give another --storage`,
			);
		}
		let service: VolumeService | undefined;
		const thread = await LiveThread.start(
			{
				imagePath: paths.image,
				volumePath: image.steadyPath,
				readOnly: plan.readOnly,
				storage: {
					directory: paths.storage,
					maximumBytes: plan.maximumSize && maximumBytes(plan.maximumSize, image.sizeBytes),
					policy: plan.policy,
					maximumCopies: plan.maximumCopies,
					newVolumeId: surroundings.newUuid().replaceAll('-', ''),
				},
			},
			(diffEvents) => {
				for (const event of diffEvents) noteDiffAreaEvent(events, event);
				service?.showCopies().catch((error) => log('copies: %s', messageOf(error)));
			},
		);
		try {
			service = new VolumeService(plan, image, thread, events, surroundings);
		} catch (error) {
			await thread.abandon();
			throw error;
		}
		try {
			await service.#takeUp(plan);
			return service;
		} catch (error) {
			await service.end().catch((failure) => log('undoing the mount: %s', messageOf(failure)));
			throw error;
		}
	}

	private constructor(
		plan: LiveMountPlan,
		image: FileDevice,
		thread: LiveThread,
		events: EventLog,
		surroundings: Surroundings,
	) {
		this.paths = plan.paths;
		this.#volumePath = image.steadyPath;
		this.readOnly = plan.readOnly;
		this.#surroundings = surroundings;
		this.#states = new CopyStates(plan);
		this.#replayJournal = plan.replayJournal;
		this.#events = events;
		this.#needs = new NeedReader(thread, this.#volumePath);
		this.#provider = new SystemProvider(thread, this.#volumePath, thread.diffArea);
		this.#live = new LiveDevice(thread, { path: plan.paths.live, source: plan.paths.image, readOnly: plan.readOnly });
	}

	async #takeUp(plan: LiveMountPlan): Promise<void> {
		const { data, mountpoint, image } = this.paths;
		if (data !== null) await this.#live.mountData(data, this.readOnly);
		this.#copies = await this.#provider.copies();
		const { allowOther, cacheBytes, transport } = plan;
		this.#browse = await serveTree(
			{ mountPoint: mountpoint, source: image, allowOther, cacheBytes, transport },
			this.#shown(),
		);
		// After the threads that somebody may be waiting for already.
		if (!this.readOnly) this.#needs.find(this.#copies.filter(({ fault }) => fault === null));
	}

	async lost(): Promise<string> {
		const what = await Promise.race([
			this.#live.thread.ended.then((inOrder) => `the live device ${inOrder ? 'was unmounted' : 'failed'}`),
			this.#browse!.ended.then(() => 'the tree of shadow copies was unmounted'),
		]);
		return this.#ending ? new Promise(() => {}) : what;
	}

	create(options: { noWriters: boolean }): Promise<ShadowCopyReport[]> {
		const creation = this.#create(options);
		this.#creation = Promise.allSettled([this.#creation, creation]);
		return creation;
	}

	async #create({ noWriters }: { noWriters: boolean }): Promise<ShadowCopyReport[]> {
		if (this.readOnly) throw this.#isReadOnly('so there is nothing new to keep');
		const setId = this.#surroundings.newUuid();
		const describe = (frozenWriters: number): ShadowCopy => {
			const createdAtMs = this.#surroundings.nowMs();
			return {
				id: this.#surroundings.newUuid(),
				setId,
				name: freeGmtName(createdAtMs, new Set(this.#copies.map(({ copy }) => copy.name))),
				createdAtMs,
				attributes: [
					'persistent',
					'clientAccessible',
					'noAutoRelease',
					'differential',
					...(frozenWriters > 0 ? [] : (['noWriters'] as const)),
				],
			};
		};
		const created = await this.#coordinator.create([{ handle: this.#handle(noWriters), describe }]);
		await this.showCopies();
		this.#needs.find(this.#copies.filter(({ copy }) => created.some(({ id }) => id === copy.id)));
		const reports = await this.#reports();
		return reports.filter((report) => created.some(({ id }) => id === report.id));
	}

	#handle(noWriters: boolean): VolumeHandle {
		const { thread } = this.#live;
		return {
			volume: this.paths.image,
			provider: this.#provider,
			writers: async () => (noWriters ? [] : this.#live.writers()),
			hold: (timeoutMs) => thread.hold(timeoutMs),
			release: () => thread.release(),
		};
	}

	async shadowCopies(): Promise<ShadowCopyReport[]> {
		this.#copies = await this.#provider.copies();
		const freedBytes = await this.#provider.bytesFreedByDeleting();
		const reports = await this.#reports();
		return reports.map((report) => ({ ...report, freedByDeletingBytes: freedBytes.get(report.id) ?? null }));
	}

	async storage(): Promise<StorageReport> {
		return { volume: this.paths.image, path: this.paths.storage, ...(await this.#live.thread.storage()) };
	}

	async status(): Promise<StatusReport> {
		const { image, mountpoint, live, data, storage } = this.paths;
		const volume: VolumeReport = {
			image,
			mountpoint,
			live,
			data,
			storage,
			pid: process.pid,
			shadowCopyCount: this.#copies.length,
			frozen: this.#coordinator.frozen,
			readOnly: this.readOnly,
		};
		return { volume, storage: await this.storage(), events: this.#events.latest };
	}

	async verify(gone: AbortSignal): Promise<AsyncGenerator<VerifyNews>> {
		const copies = await this.#provider.copies();
		const { thread } = this.#live;
		return verifyProvided(
			verifyOrder(this.#volumePath, thread.diffArea, await thread.segments(), copies),
			copies,
			gone,
		);
	}

	events(): readonly VolumeEvent[] {
		return this.#events.all;
	}

	follow(gone: AbortSignal): AsyncGenerator<VolumeEvent> {
		return this.#events.follow(gone);
	}

	/** One after the other, so that of two that are to delete the oldest copy each deletes one. */
	delete(which: CopySelection): Promise<ShadowCopyReport[]> {
		const deletion = this.#deletion.then(() => this.#delete(which));
		this.#deletion = deletion.catch(() => undefined);
		return deletion;
	}

	async #delete(which: CopySelection): Promise<ShadowCopyReport[]> {
		if (this.readOnly) throw this.#isReadOnly('its shadow copies do not either');
		this.#copies = await this.#provider.copies();
		const ids = selectCopies(this.#copies, which).map(({ copy }) => copy.id);
		const selected = (await this.#reports()).filter(({ id }) => ids.includes(id));
		for (const id of ids) await this.#provider.delete(id);
		await this.showCopies();
		return selected;
	}

	async resize(maximumSize: MaximumSize): Promise<StorageReport> {
		if (this.readOnly) throw this.#isReadOnly('its storage does not either');
		const { thread } = this.#live;
		await thread.resize(maximumBytes(maximumSize, thread.sizeBytes));
		await this.showCopies();
		return this.storage();
	}

	async inspect(copy: string, selection: InspectSelection): Promise<FileSystemReport> {
		return inspectCopy(await this.#provider.copies(), copy, selection);
	}

	/** Makes the tree show the copies that live. */
	async showCopies(): Promise<void> {
		this.#copies = await this.#provider.copies();
		await this.#browse?.show(this.#shown());
	}

	#shown(): ShownCopies {
		return {
			copies: browsableCopies(this.#copies),
			changedAtMs: this.#surroundings.nowMs(),
			replayJournal: this.#replayJournal,
		};
	}

	/** In order: data, live device, tree. */
	async unmount(): Promise<StatusReport> {
		await this.status(); // a disk that does not answer is told, and not waited for
		await this.#creation; // whose own processes would be found to use the data directory
		const status = await this.status();
		this.#checkNotBusy();
		await this.end();
		return status;
	}

	/** As unmount, without looking for users beforehand. */
	async end(): Promise<void> {
		this.#ending = true;
		try {
			// A frozen file system cannot be taken down.
			await this.#creation;
			await this.#needs.stop();
			await this.#live.close();
			if (this.#browse) await endUnusedTree(this.#browse);
			this.#events.close();
		} catch (error) {
			this.#ending = false;
			throw error;
		}
	}

	async endPatiently(impatient: AbortSignal): Promise<void> {
		this.#ending = true;
		await this.#creation;
		await this.#needs.stop();
		const ends = [this.#live.closePatiently(impatient), this.#browse && endTree(this.#browse, impatient)];
		await Promise.all(ends);
		this.#events.close();
	}

	#checkNotBusy(): void {
		const { data, mountpoint, live } = this.paths;
		for (const mountPoint of data === null ? [mountpoint] : [data, mountpoint]) checkNotUsed(mountPoint);
		this.#live.checkDataNotCovered();
		checkNotCovered(mountpoint, isOneFrom(this.paths.image));
		checkNoPartMounted(this.paths.image);
		const others = this.#live.mounts().flatMap(({ mountPoint }) => (mountPoint === data ? [] : [mountPoint]));
		if (others.length > 0) {
			throw refused(
				'mount-busy',
				`${live}: mounted on ${others.join(', ')}; unmount that first: umount ${others.join(' ')}`,
			);
		}
	}

	#isReadOnly(consequence: string) {
		const message = `${this.paths.image}: is mounted read-only and does not change, ${consequence}; mount it without --read-only`;
		return refused('read-only', message);
	}

	/** Of all copies. */
	async #reports(): Promise<ShadowCopyReport[]> {
		const copies = this.#copies;
		const states = await this.#states.of(copies);
		return copies.map((provided, i) => copyReport(provided, states[i]!, this.#provider.type, this.paths));
	}
}

function maximumBytes(size: MaximumSize, imageSizeBytes: number): number | null {
	if (size === 'unbounded') return null;
	const bytes = 'bytes' in size ? size.bytes : Math.floor((imageSizeBytes * size.percent) / 100);
	return Math.min(bytes, Number.MAX_SAFE_INTEGER); // the catalog holds no more
}

/** statfs(2)'s f_type of tmpfs (devtmpfs tells the same) and ramfs. */
const IN_MEMORY = [0x01021994, 0x858458f6];

const isInMemory = (path: string) => IN_MEMORY.includes(statfsSync(path).type);
