/**
 * Where every record begins, in shared memory: page numbers on the line of all segments (see chunk-index.ts), ascending.
 * So whoever reads a preserved chunk finds the record that has its checksum. One writer, lock-free readers.
 */
const COUNT = 0;
const HEADER_WORDS = 1;

/** 256 MiB of address space; memory is used where there are records. */
const RECORDS_MAX = 1 << 26;

export class RecordTable {
	readonly share: SharedArrayBuffer;
	readonly #words: Uint32Array;

	private constructor(share: SharedArrayBuffer) {
		this.share = share;
		this.#words = new Uint32Array(share);
	}

	static create(): RecordTable {
		return new RecordTable(new SharedArrayBuffer(4 * (HEADER_WORDS + RECORDS_MAX)));
	}

	static attach(share: SharedArrayBuffer): RecordTable {
		return new RecordTable(share);
	}

	get isFull(): boolean {
		return this.#words[COUNT]! >= RECORDS_MAX;
	}

	/** Only the writer calls this, before it publishes a chunk of the record. */
	append(linePage: number): void {
		const count = this.#words[COUNT]!;
		this.#words[HEADER_WORDS + count] = linePage;
		Atomics.store(this.#words, COUNT, count + 1);
	}

	/** The page where the record begins that holds this page; there must be one. */
	find(linePage: number): number {
		let low = 0;
		let high = Atomics.load(this.#words, COUNT) - 1;
		while (low < high) {
			const middle = (low + high + 1) >>> 1;
			if (this.#words[HEADER_WORDS + middle]! <= linePage) low = middle;
			else high = middle - 1;
		}
		return this.#words[HEADER_WORDS + low]!;
	}
}
