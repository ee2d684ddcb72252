import createDebug from 'debug';
import { type FuseMount, mountFuse, raiseReadAhead, unmount } from '../fuse/mount.ts';
import { invalidateEntry } from '../fuse/notify.ts';

const ROOT_NODE = { high: 0, low: 1 };

import type { BrowsableCopy } from './messages.ts';
import { BrowseThread } from './thread-clients.ts';

const log = createDebug('noonmark:service:browse');

const THREADS = 2;
/** A thread that crashes is replaced; more often than this is no accident. */
const REPLACEMENTS_MAX = 10;

/** The tree of shadow copies: its mount, and the threads that serve it. */
export class BrowseMount {
	/** Resolves when nobody serves the mount any more. */
	readonly ended: Promise<void>;
	readonly mountPoint: string;
	readonly #mount: FuseMount;
	readonly #threads = new Set<BrowseThread>();
	#copies: readonly BrowsableCopy[];
	#replacements = 0;
	#onEnded!: () => void;

	constructor(options: { mountPoint: string; source: string; allowOther: boolean }, copies: readonly BrowsableCopy[]) {
		this.mountPoint = options.mountPoint;
		this.#copies = copies;
		this.#mount = mountFuse({ ...options, root: 'directory', readOnly: true });
		raiseReadAhead(this.#mount.majorMinor);
		this.ended = new Promise((resolve) => {
			this.#onEnded = resolve;
		});
		for (let i = 0; i < THREADS; i++) this.#startThread();
	}

	/** From its return on the tree has these copies and no others. */
	async show(copies: readonly BrowsableCopy[]): Promise<void> {
		const gone = this.#copies.filter(({ number }) => !copies.some((copy) => copy.number === number));
		this.#copies = copies;
		await Promise.allSettled([...this.#threads].map((thread) => thread.show(copies)));
		for (const { name } of gone) invalidateEntry(this.#mount.fd, ROOT_NODE, Buffer.from(name));
	}

	/** Errors: refused `mount-busy` where somebody uses it and `detach` is not set. */
	unmount(options: { detach: boolean }): void {
		unmount(this.mountPoint, options);
	}

	#startThread(): void {
		const thread = new BrowseThread({ fuseFd: this.#mount.fd, copies: this.#copies });
		this.#threads.add(thread);
		thread.ended.then((inOrder) => {
			this.#threads.delete(thread);
			if (!inOrder && this.#replacements++ < REPLACEMENTS_MAX) {
				log('a browse thread crashed and is replaced');
				this.#startThread();
			}
			if (this.#threads.size === 0) this.#onEnded();
		});
	}
}
