/**
 * Read-ahead across files. A small file costs its reader one READ, and that is mostly waiting: the reader sleeps until a
 * serving thread has woken and answered. So when small files are read about as they were listed, another thread puts the
 * content of the next ones into the kernel's page cache before they are asked for (FUSE_NOTIFY_STORE). Copies never
 * change, so what is stored is right however long it stays there.
 *
 * One file of every window is left out: its READ says that the reader has come so far, and asks for the next window.
 * Windows double while that goes on, up to WINDOW_FILES_MAX and WINDOW_BYTES_MAX. A listing alone stores nothing.
 *
 * A store waits for a READ of the same page that is under way, so the threads of a mount must not all be storing: one
 * does at a time, while the others serve.
 */
import { ListedFiles } from './listed-files.ts';
import { ContentStore } from './notify.ts';

/** Larger files are not stored ahead: the kernel's own read-ahead works within a file. */
const STORED_FILE_BYTES_MAX = 128 << 10;
const WINDOW_FILES_MIN = 16;
const WINDOW_FILES_MAX = 256;
const WINDOW_BYTES_MAX = 4 << 20;
/** Files count as read together when no more than so many were listed between them. */
const NEAR_FILES = 1024;
/** So many READs of near files in a row make a pattern. */
const PATTERN_READS = 3;

/** The words of the shared state. */
const LAST_POSITION = 0;
const NEAR_READS = 1;
const WINDOW_FILES = 2;
const FROM_POSITION = 3;
const ASKED_BY = 4;
/** How many windows were asked for, and how many of these were begun: one may be asked for while another is stored. */
const ASKED = 5;
const TAKEN = 6;
/** The number of the thread that stores, or 0. */
const STORING = 7;
const WORDS = 8;

/** What the threads of a mount share: plain data. */
export interface StoreAheadShare {
	readonly files: SharedArrayBuffer;
	readonly state: SharedArrayBuffer;
}

export function createStoreAheadShare(): StoreAheadShare {
	return { files: ListedFiles.create().share, state: new SharedArrayBuffer(4 * WORDS) };
}

/** Frees what a thread that has ended may have held. */
export function releaseStoreAhead(share: StoreAheadShare, threadNumber: number): void {
	Atomics.compareExchange(new Int32Array(share.state), STORING, threadNumber, 0);
}

export interface StoreAheadOptions {
	readonly share: StoreAheadShare;
	/** Another number for each thread of the mount, 1 or more. */
	readonly threadNumber: number;
	readonly fuseFd: number;
	/** Makes the other threads call `work()` soon. */
	wakeOthers(): void;
}

/** The read-ahead of one mount, as one of its threads sees it. */
export class StoreAhead {
	readonly #files: ListedFiles;
	readonly #state: Int32Array;
	readonly #options: StoreAheadOptions;
	readonly #store: ContentStore;

	constructor(options: StoreAheadOptions) {
		this.#options = options;
		this.#files = ListedFiles.attach(options.share.files);
		this.#state = new Int32Array(options.share.state);
		this.#store = new ContentStore(options.fuseFd, STORED_FILE_BYTES_MAX);
	}

	/** The kernel was told of a regular file. */
	wasListed(copyNumber: number, inodeNumber: number, sizeBytes: number): void {
		if (sizeBytes > 0 && sizeBytes <= STORED_FILE_BYTES_MAX) this.#files.add(copyNumber, inodeNumber);
	}

	/** The kernel asks for the start of a file. */
	isRead(copyNumber: number, inodeNumber: number): void {
		const files = this.#files;
		const state = this.#state;
		const position = files.positionOf(copyNumber, inodeNumber);
		if (position < 0) return;
		// What it has, it does not ask for: it has dropped this one, and then perhaps the next ones too.
		if (files.isKnown(position)) files.forget(position, NEAR_FILES);
		files.setKnown(position);
		const isNear = ListedFiles.distance(position, state[LAST_POSITION]!) <= NEAR_FILES;
		state[LAST_POSITION] = position;
		if (!isNear) {
			state[NEAR_READS] = 0;
			state[WINDOW_FILES] = 0;
		} else if (++state[NEAR_READS]! >= PATTERN_READS && state[ASKED] === state[TAKEN]) {
			this.#ask(position);
		}
	}

	#ask(position: number): void {
		const state = this.#state;
		state[WINDOW_FILES] = Math.max(WINDOW_FILES_MIN, Math.min(2 * state[WINDOW_FILES]!, WINDOW_FILES_MAX));
		state[FROM_POSITION] = position;
		state[ASKED_BY] = this.#options.threadNumber;
		Atomics.add(state, ASKED, 1);
		this.#options.wakeOthers();
	}

	/**
	 * Stores the window that another thread has asked for, if any. `read` fills a buffer with the whole of a file; it
	 * returns its size, or less than 0 where it cannot be read.
	 */
	work(read: (copyNumber: number, inodeNumber: number, into: Buffer) => number): void {
		const state = this.#state;
		const asked = Atomics.load(state, ASKED);
		const { threadNumber } = this.#options;
		if (asked === state[TAKEN] || state[ASKED_BY] === threadNumber) return;
		if (Atomics.compareExchange(state, STORING, 0, threadNumber) !== 0) return;
		state[TAKEN] = asked;
		try {
			this.#storeWindow(read);
		} finally {
			Atomics.store(state, STORING, 0);
		}
	}

	#storeWindow(read: (copyNumber: number, inodeNumber: number, into: Buffer) => number): void {
		const files = this.#files;
		const windowFiles = this.#state[WINDOW_FILES]!;
		let position = this.#state[FROM_POSITION]!;
		let storedBytes = 0;
		for (let count = 0, passed = 0; count < windowFiles && passed < NEAR_FILES; passed++) {
			position = files.after(position);
			if (position < 0 || storedBytes >= WINDOW_BYTES_MAX) return;
			if (files.isKnown(position)) continue;
			if (count++ === windowFiles >> 1) continue; // the one that is left out
			const copyNumber = files.copyNumberAt(position);
			const inodeNumber = files.inodeNumberAt(position);
			const sizeBytes = read(copyNumber, inodeNumber, this.#store.content);
			if (sizeBytes > 0) this.#store.store(copyNumber, inodeNumber, sizeBytes);
			files.setKnown(position);
			storedBytes += Math.max(sizeBytes, 0);
		}
	}
}
