/**
 * Which directories will be listed next. Whoever walks through a tree (find, tar, du, cp, grep) enters the subdirectories
 * of a directory in the order in which they were listed, and those of a subdirectory before its siblings. So those to come
 * are a stack. A guess costs nothing where it is wrong but what is done for it.
 *
 * It is kept in memory that the threads of a mount share; one at a time may use it.
 */

/** Of a tree that has more to come, those that come last are forgotten. */
const DIRECTORIES_MAX = 4096;

/** The words of the shared state; the stack follows, the next directory last. */
const COPY_NUMBER = 0;
const COUNT = 1;
const LAST_LISTED = 2;
/** How many of the stack are subdirectories of the one that was listed last. */
const CHILDREN = 3;
/** 1 where the one that was listed last was to come. */
const IS_WALK = 4;
const HEADER_WORDS = 5;

export class Walk {
	static readonly SHARE_WORDS = HEADER_WORDS + DIRECTORIES_MAX;

	readonly #state: Uint32Array;
	readonly #stack: Uint32Array;

	/** `state`: SHARE_WORDS, at first 0. */
	constructor(state: Uint32Array) {
		this.#state = state;
		this.#stack = state.subarray(HEADER_WORDS);
	}

	/** A directory was listed: from its start, or where it was left; these are its subdirectories there. */
	listed(copyNumber: number, inodeNumber: number, fromStart: boolean, children: readonly number[]): void {
		if (fromStart) this.#enter(copyNumber, inodeNumber);
		const state = this.#state;
		if (state[LAST_LISTED] !== inodeNumber || state[COPY_NUMBER] !== copyNumber) return;
		const others = state[COUNT]! - state[CHILDREN]!;
		const known = this.#stack.slice(others, state[COUNT]);
		const all = [...children.toReversed(), ...known].slice(-DIRECTORIES_MAX);
		const kept = Math.min(others, DIRECTORIES_MAX - all.length);
		this.#stack.copyWithin(0, others - kept, others);
		this.#stack.set(all, kept);
		state[CHILDREN] = all.length;
		state[COUNT] = kept + all.length;
	}

	/** The inode number of the next directory, in the copy that was listed last; 0 where nothing says so. */
	get next(): number {
		const state = this.#state;
		return state[IS_WALK] === 1 && state[COUNT]! > 0 ? this.#stack[state[COUNT]! - 1]! : 0;
	}

	/** Forgets those that were to come before this one, and where it was not to come, that it is a walk. */
	#enter(copyNumber: number, inodeNumber: number): void {
		const state = this.#state;
		if (state[COPY_NUMBER] !== copyNumber) state[COUNT] = 0;
		const index = this.#stack.subarray(0, state[COUNT]).lastIndexOf(inodeNumber);
		state[COPY_NUMBER] = copyNumber;
		state[LAST_LISTED] = inodeNumber;
		state[CHILDREN] = 0;
		state[IS_WALK] = index < 0 ? 0 : 1;
		if (index >= 0) state[COUNT] = index;
	}
}
