/**
 * The epochs of a diff area in shared memory: where each one's segment begins on the line of locations (see
 * chunk-index.ts), and whether its shadow copy still lives. One writer, lock-free readers. Rows are only ever added;
 * epochs have no gaps, so a row is found by its epoch.
 */
const FIRST_EPOCH = 0;
const ROW_COUNT = 1;
const HEADER_WORDS = 2;

const BASE_PAGE = 0;
const STATE = 1;
const ROW_WORDS = 2;

const LIVING = 1;

/** Rows of one run of the service: a copy every 5 minutes for ten years. */
const ROWS_MAX = 1 << 20;

/** Locations are 32 bits: twice the page number plus the mark of a zero entry. */
export const PAGES_MAX = 2 ** 31;

export interface PlaceInSegment {
	readonly epoch: number;
	readonly page: number;
	readonly isZero: boolean;
}

export class EpochTable {
	readonly share: SharedArrayBuffer;
	readonly #words: Uint32Array;

	private constructor(share: SharedArrayBuffer) {
		this.share = share;
		this.#words = new Uint32Array(share);
	}

	static create(firstEpoch: number): EpochTable {
		const table = new EpochTable(new SharedArrayBuffer(4 * (HEADER_WORDS + ROW_WORDS * ROWS_MAX)));
		table.#words[FIRST_EPOCH] = firstEpoch;
		return table;
	}

	static attach(share: SharedArrayBuffer): EpochTable {
		return new EpochTable(share);
	}

	get nextEpoch(): number {
		return this.#words[FIRST_EPOCH]! + this.#words[ROW_COUNT]!;
	}

	/** Adds the next epoch, which begins at this page. */
	append(basePage: number): void {
		const row = this.#words[ROW_COUNT]!;
		this.#words[this.#at(row) + BASE_PAGE] = basePage;
		this.#words[this.#at(row) + STATE] = 0;
		Atomics.store(this.#words, ROW_COUNT, row + 1);
	}

	get isFull(): boolean {
		return this.#words[ROW_COUNT]! >= ROWS_MAX;
	}

	setLiving(epoch: number, living: boolean): void {
		Atomics.store(this.#words, this.#at(this.#row(epoch)) + STATE, living ? LIVING : 0);
	}

	isLiving(epoch: number): boolean {
		return Atomics.load(this.#words, this.#at(this.#row(epoch)) + STATE) === LIVING;
	}

	basePage(epoch: number): number {
		return this.#words[this.#at(this.#row(epoch)) + BASE_PAGE]!;
	}

	/** The least location of a chunk that was preserved in this epoch or later. */
	baseLocation(epoch: number): number {
		return 2 * this.basePage(epoch);
	}

	locationOf(place: PlaceInSegment): number {
		return 2 * (this.basePage(place.epoch) + place.page) + (place.isZero ? 1 : 0);
	}

	/** The inverse of `locationOf`. */
	placeAt(location: number): PlaceInSegment {
		const linePage = location >>> 1;
		let low = 0;
		let high = Atomics.load(this.#words, ROW_COUNT) - 1;
		while (low < high) {
			const middle = (low + high + 1) >> 1;
			if (this.#words[this.#at(middle) + BASE_PAGE]! <= linePage) low = middle;
			else high = middle - 1;
		}
		const page = linePage - this.#words[this.#at(low) + BASE_PAGE]!;
		return { epoch: this.#words[FIRST_EPOCH]! + low, page, isZero: (location & 1) === 1 };
	}

	#row(epoch: number): number {
		return epoch - this.#words[FIRST_EPOCH]!;
	}

	#at(row: number): number {
		return HEADER_WORDS + ROW_WORDS * row;
	}
}
