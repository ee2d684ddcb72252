/** The serving threads as the main thread sees them. */
import { Worker } from 'node:worker_threads';
import createDebug from 'debug';
import type { DiffAreaEvent, DiffAreaShare } from '../diff/diff-area-types.ts';
import type { SegmentToVerify } from '../diff/verify.ts';
import { errorFromPlain, ioError, messageOf } from '../errors.ts';
import type { RemoteDiffArea } from '../providers/system.ts';
import { Mailbox } from './mailbox.ts';
import type {
	BrowseOrder,
	BrowseThreadSetup,
	CopyInDiffArea,
	LiveOrder,
	LiveThreadNews,
	LiveThreadReady,
	LiveThreadSetup,
	NeedThreadNews,
	NeedThreadSetup,
	ShownCopies,
	StorageUse,
} from './messages.ts';

const log = createDebug('noonmark:service');

/** A worker with its mailbox; `ended` resolves when it is gone, to whether it went in order. */
class ServingThread<Order, News> {
	readonly ended: Promise<boolean>;
	readonly worker: Worker;
	readonly mailbox: Mailbox<Order, News>;

	constructor(file: string, setup: object, onNews: (news: News) => void) {
		this.mailbox = new Mailbox<Order, News>(onNews);
		this.worker = new Worker(new URL(file, import.meta.url), {
			workerData: { ...setup, mailbox: this.mailbox.end },
			transferList: this.mailbox.transferList,
		});
		this.worker.on('error', (error) => log('%s crashed: %s', file, messageOf(error)));
		this.ended = new Promise((resolve) => {
			this.worker.on('exit', (exitCode) => {
				this.mailbox.close('the thread has ended');
				resolve(exitCode === 0);
			});
		});
	}
}

/** For what is asked of the live thread on its own: longer than a slow disk takes for a flush. */
const ANSWER_MS_MAX = 30_000;

export class LiveThread implements RemoteDiffArea {
	readonly sizeBytes: number;
	readonly diffArea: DiffAreaShare;
	readonly ended: Promise<boolean>;
	readonly #imagePath: string;
	readonly #thread: ServingThread<LiveOrder, LiveThreadNews>;

	private constructor(
		imagePath: string,
		thread: ServingThread<LiveOrder, LiveThreadNews>,
		{ sizeBytes, diffArea }: LiveThreadReady,
	) {
		this.#imagePath = imagePath;
		this.#thread = thread;
		this.sizeBytes = sizeBytes;
		this.diffArea = diffArea;
		this.ended = thread.ended;
	}

	/** Opens the volume and its diff area. Errors: those of opening them. */
	static start(
		setup: Omit<LiveThreadSetup, 'mailbox'>,
		onEvents: (events: readonly DiffAreaEvent[]) => void,
	): Promise<LiveThread> {
		return new Promise((resolve, reject) => {
			const thread = new ServingThread<LiveOrder, LiveThreadNews>('./live-thread.js', setup, (news) => {
				if (news.kind === 'ready') resolve(new LiveThread(setup.imagePath, thread, news));
				else if (news.kind === 'failed') reject(errorFromPlain(news.error));
				else if (news.kind === 'events') onEvents(news.events);
			});
			thread.worker.on('error', reject);
		});
	}

	/** Begins to answer the kernel on a mount of the live device. */
	serve(fuseFd: number): void {
		this.#thread.worker.postMessage({ fuseFd });
	}

	/**
	 * What belongs to no sequence is not waited for without end, and not done later. The steps of a creation are: the
	 * coordinator has its deadlines, and what undoes a step comes after it. Errors: io `volume-hangs`.
	 */
	#ask<Answer>(order: LiveOrder): Promise<Answer> {
		return this.#thread.mailbox.ask(order, ANSWER_MS_MAX, (isTaken) => {
			const since = `its disk, or that of its storage, has not answered for ${ANSWER_MS_MAX / 1000} s`;
			const outcome = isTaken ? 'this was begun, and may yet be done' : 'nothing was done';
			return ioError('volume-hangs', `${this.#imagePath}: ${since}; ${outcome}`);
		});
	}

	copies(): Promise<CopyInDiffArea[]> {
		return this.#ask({ kind: 'copies' });
	}

	/** The segments with their durable lengths. */
	segments(): Promise<SegmentToVerify[]> {
		return this.#ask({ kind: 'segments' });
	}

	storage(): Promise<StorageUse> {
		return this.#ask({ kind: 'storage' });
	}

	prepareCommit(): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'prepareCommit' });
	}

	hold(timeoutMs: number): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'hold', timeoutMs });
	}

	commit(label: unknown): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'commit', label });
	}

	release(): Promise<boolean> {
		return this.#thread.mailbox.send({ kind: 'release' });
	}

	finishCommit(): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'finishCommit' });
	}

	abortCommit(): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'abortCommit' });
	}

	delete(epoch: number): Promise<boolean> {
		return this.#ask({ kind: 'delete', epoch });
	}

	learnOwed(news: NeedThreadNews): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'learnOwed', ...news });
	}

	resize(maximumBytes: number | null): Promise<void> {
		return this.#ask({ kind: 'resize', maximumBytes });
	}

	/** Ends the session though the mount is in use; the volume is closed in order. */
	stop(): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'stop' });
	}

	/** For a thread that never got to serve. */
	async abandon(): Promise<void> {
		await this.#thread.worker.terminate();
	}
}

export class BrowseThread {
	readonly ended: Promise<boolean>;
	readonly #thread: ServingThread<BrowseOrder, never>;

	constructor(setup: Omit<BrowseThreadSetup, 'mailbox'>) {
		this.#thread = new ServingThread<BrowseOrder, never>('./browse-thread.js', setup, () => {});
		this.ended = this.#thread.ended;
	}

	/** From its return on the thread shows these copies and no others. */
	show(shown: ShownCopies): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'show', shown });
	}

	/** Ends the session though the mount is in use. */
	stop(): Promise<void> {
		return this.#thread.mailbox.send({ kind: 'stop' });
	}
}

/** Finds out what is owed to copies, one after the other, off the live thread. */
export class NeedThread {
	readonly ended: Promise<void>;
	readonly #worker: Worker;

	constructor(setup: NeedThreadSetup, onNews: (news: NeedThreadNews) => void) {
		this.#worker = new Worker(new URL('./need-thread.js', import.meta.url), { workerData: setup });
		this.#worker.on('message', onNews);
		this.#worker.on('error', (error) => log('need thread crashed: %s', messageOf(error)));
		this.ended = new Promise((resolve) => {
			this.#worker.on('exit', () => resolve());
		});
	}

	async stop(): Promise<void> {
		await this.#worker.terminate();
	}
}
