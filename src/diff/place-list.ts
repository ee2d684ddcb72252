const WORDS_MIN = 1 << 14;

/**
 * Where the chunks of a segment lie: chunk index and page * 2 + isZero, alternating, in the order in which they were
 * preserved. One list takes the places of one segment after the other, so that opening millions of chunks takes the
 * memory of the largest segment, and no more.
 */
export class PlaceList {
	#words = new Uint32Array(WORDS_MIN);
	#length = 0;

	/** Valid until the list changes. */
	get words(): Uint32Array {
		return this.#words.subarray(0, this.#length);
	}

	/** Number of places. */
	get count(): number {
		return this.#length / 2;
	}

	clear(): void {
		this.#length = 0;
	}

	add(chunkIndex: number, page: number, isZero: boolean): void {
		if (this.#length === this.#words.length) this.#growTo(2 * this.#length);
		this.#words[this.#length++] = chunkIndex;
		this.#words[this.#length++] = 2 * page + (isZero ? 1 : 0);
	}

	/** Leaves the first `count` places. */
	cutTo(count: number): void {
		this.#length = 2 * count;
	}

	/** Makes the list one of `count` places and returns its memory, to be filled. */
	resize(count: number): Uint32Array {
		this.#length = 0;
		if (2 * count > this.#words.length) this.#growTo(2 * count);
		this.#length = 2 * count;
		return this.words;
	}

	#growTo(words: number): void {
		const grown = new Uint32Array(words);
		grown.set(this.#words.subarray(0, this.#length));
		this.#words = grown;
	}
}
