/**
 * One bit a chunk: preserve it before it is overwritten.
 *
 * A chunk is *owed* to a copy that uses it and for which it has not been preserved. Which chunks a new copy uses is read
 * later, through the copy; until that is known every chunk counts as used. So there are two maps: `owed` holds what is
 * owed to copies whose use is known, `needed` is the same, or, while any copy's use is unknown, all that was not preserved
 * since the newest copy. Preserving a chunk clears its bit in both: from then on the newest epoch holds what every living
 * copy reads there. One thread owns it.
 */
import { adviseMemory, MAPPED_ALONE_BYTES } from '../system/libc.ts';

export class NeededMap {
	readonly #needed: Uint8Array;
	readonly #neededWords: Int32Array;
	readonly #owed: Uint8Array;
	readonly #owedWords: Int32Array;
	/** Epochs of the living copies whose use is not known. */
	readonly #unknown = new Set<number>();

	constructor(chunkCount: number) {
		this.#neededWords = wordsFor(chunkCount);
		this.#needed = new Uint8Array(this.#neededWords.buffer);
		this.#owedWords = wordsFor(chunkCount);
		this.#owed = new Uint8Array(this.#owedWords.buffer);
	}

	isNeeded(chunkIndex: number): boolean {
		return (this.#needed[chunkIndex >>> 3]! & (1 << (chunkIndex & 7))) !== 0;
	}

	/** Whether it is known which chunks every living copy uses. */
	get isExact(): boolean {
		return this.#unknown.size === 0;
	}

	/** A copy begins to live, and nobody knows yet which chunks it uses. */
	begin(epoch: number): void {
		this.#unknown.add(epoch);
		this.#neededWords.fill(-1);
	}

	preserved(chunkIndex: number): void {
		const mask = ~(1 << (chunkIndex & 7));
		this.#needed[chunkIndex >>> 3]! &= mask;
		this.#owed[chunkIndex >>> 3]! &= mask;
	}

	/**
	 * Tells what is owed to copies: a bit for each chunk that one of them uses and that was not preserved for it when that
	 * was found out (what was preserved since is taken care of here); undefined: every chunk may be. Nothing happens where
	 * all of them are gone, or known already.
	 */
	learn(epochs: readonly number[], chunks: Uint8Array | undefined): void {
		if (!epochs.some((epoch) => this.#unknown.has(epoch))) return;
		const [needed, owed] = [this.#neededWords, this.#owedWords];
		const used = chunks && new Int32Array(chunks.buffer, chunks.byteOffset, needed.length);
		for (let i = 0; i < needed.length; i++) owed[i]! |= needed[i]! & (used ? used[i]! : -1);
		for (const epoch of epochs) this.forget(epoch);
	}

	/** A copy does not live any more. What is owed to it may be owed to another, and stays. */
	forget(epoch: number): void {
		if (this.#unknown.delete(epoch) && this.#unknown.size === 0) this.#neededWords.set(this.#owedWords);
	}

	/** No copy lives. */
	clear(): void {
		this.#unknown.clear();
		this.#neededWords.fill(0);
		this.#owedWords.fill(0);
	}
}

const LARGE_BYTES = 1 << 20;

/** A bit for each chunk. A large map gets as much address space as lets it be advised; filling it is what a commit does. */
function wordsFor(chunkCount: number): Int32Array {
	const lengthBytes = 4 * Math.ceil(chunkCount / 32);
	const memory = new ArrayBuffer(lengthBytes < LARGE_BYTES ? lengthBytes : Math.max(lengthBytes, MAPPED_ALONE_BYTES));
	adviseMemory(new Uint8Array(memory), { hugePages: true });
	return new Int32Array(memory, 0, lengthBytes / 4);
}
