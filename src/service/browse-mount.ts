import createDebug from 'debug';
import { createListAheadShare, releaseListAhead } from '../fuse/list-ahead.ts';
import { type FuseMount, mountFuse, raiseReadAhead, unmount } from '../fuse/mount.ts';
import { ROOT_NODE } from '../fuse/node-id.ts';
import { invalidateEntry, invalidateInode } from '../fuse/notify.ts';
import { createStoreAheadShare, releaseStoreAhead } from '../fuse/store-ahead.ts';
import { createTurnsShare, releaseTurn } from '../fuse/turns.ts';
import { eventfd } from '../system/libc.ts';
import type { ShownCopies } from './messages.ts';
import type { ServedTree } from './served-tree.ts';
import { BrowseThread } from './thread-clients.ts';

const log = createDebug('noonmark:service:browse');

const THREADS = 2;
/** A thread that crashes is replaced; more often than this is no accident. */
const REPLACEMENTS_MAX = 10;

export interface BrowseMountOptions {
	readonly mountPoint: string;
	readonly source: string;
	readonly allowOther: boolean;
	/** For the metadata of all copies: each thread gets its share. */
	readonly cacheBytes: number;
}

/** The tree of shadow copies: its mount, and the threads that serve it. */
export class BrowseMount implements ServedTree {
	readonly ended: Promise<void>;
	readonly mountPoint: string;
	readonly #mount: FuseMount;
	readonly #threads = new Set<BrowseThread>();
	readonly #cacheBytes: number;
	readonly #ahead = createStoreAheadShare();
	readonly #listAhead = createListAheadShare();
	readonly #turns = createTurnsShare();
	readonly #aheadFd = eventfd();
	#started = 0;
	#shown: ShownCopies;
	#replacements = 0;
	#onEnded!: () => void;

	constructor(options: BrowseMountOptions, shown: ShownCopies) {
		this.mountPoint = options.mountPoint;
		this.#cacheBytes = options.cacheBytes;
		this.#shown = shown;
		this.#mount = mountFuse({ ...options, root: 'directory', readOnly: true });
		raiseReadAhead(this.#mount.majorMinor);
		this.ended = new Promise((resolve) => {
			this.#onEnded = resolve;
		});
		for (let i = 0; i < THREADS; i++) this.#startThread();
	}

	async show(shown: ShownCopies): Promise<void> {
		const gone = this.#shown.copies.filter(({ number }) => !shown.copies.some((copy) => copy.number === number));
		this.#shown = shown;
		await Promise.allSettled([...this.#threads].map((thread) => thread.show(shown)));
		for (const { name } of gone) invalidateEntry(this.#mount.fd, ROOT_NODE, Buffer.from(name));
		invalidateInode(this.#mount.fd, ROOT_NODE);
	}

	unmount(options: { detach: boolean }): void {
		unmount(this.#mount, options);
	}

	async stop(): Promise<void> {
		await Promise.allSettled([...this.#threads].map((thread) => thread.stop()));
		await this.ended;
	}

	#startThread(): void {
		const threadNumber = ++this.#started;
		const thread = new BrowseThread({
			fuseFd: this.#mount.fd,
			shown: this.#shown,
			ahead: this.#ahead,
			listAhead: this.#listAhead,
			turns: this.#turns,
			threadNumber,
			aheadFd: this.#aheadFd,
			cacheBytes: Math.floor(this.#cacheBytes / THREADS),
		});
		this.#threads.add(thread);
		thread.ended.then((inOrder) => {
			this.#threads.delete(thread);
			releaseStoreAhead(this.#ahead, threadNumber);
			releaseListAhead(this.#listAhead, threadNumber);
			releaseTurn(this.#turns, threadNumber);
			if (!inOrder && this.#replacements++ < REPLACEMENTS_MAX) {
				log('a browse thread crashed and is replaced');
				this.#startThread();
			}
			if (this.#threads.size === 0) this.#onEnded();
		});
	}
}
