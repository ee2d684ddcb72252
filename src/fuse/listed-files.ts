/**
 * The small files that listings have shown last, in the order in which they were shown: a ring in memory that the threads
 * of a mount share. Who reads a tree reads it in about this order, so it says what will be read next.
 *
 * Nothing is locked. Two threads that write at once can leave an entry that names a file nobody listed, or miss one:
 * entries are hints, and whoever follows one reads that file as if it had been asked for.
 */
const ENTRIES = 1 << 16;
/** One slot for each of the places that a hash can give; a later file takes the slot of an earlier one. */
const SLOTS = ENTRIES * 2;
const HEAD = 0;
const HEADER_WORDS = 1;

export class ListedFiles {
	readonly share: SharedArrayBuffer;
	readonly #head: Uint32Array;
	readonly #copyNumbers: Uint32Array;
	readonly #inodeNumbers: Uint32Array;
	/** Positions by the hash of copy and inode. */
	readonly #slots: Uint32Array;
	/** 1 where the kernel has been given the content. */
	readonly #known: Uint8Array;

	private constructor(share: SharedArrayBuffer) {
		const words = (start: number, count: number) => new Uint32Array(share, 4 * start, count);
		this.share = share;
		this.#head = words(HEAD, HEADER_WORDS);
		this.#copyNumbers = words(HEADER_WORDS, ENTRIES);
		this.#inodeNumbers = words(HEADER_WORDS + ENTRIES, ENTRIES);
		this.#slots = words(HEADER_WORDS + 2 * ENTRIES, SLOTS);
		this.#known = new Uint8Array(share, 4 * (HEADER_WORDS + 2 * ENTRIES + SLOTS), ENTRIES);
	}

	static create(): ListedFiles {
		return new ListedFiles(new SharedArrayBuffer(4 * (HEADER_WORDS + 2 * ENTRIES + SLOTS) + ENTRIES));
	}

	static attach(share: SharedArrayBuffer): ListedFiles {
		return new ListedFiles(share);
	}

	add(copyNumber: number, inodeNumber: number): void {
		const position = Atomics.add(this.#head, HEAD, 1) % ENTRIES;
		this.#copyNumbers[position] = copyNumber;
		this.#inodeNumbers[position] = inodeNumber;
		this.#known[position] = 0;
		this.#slots[slotOf(copyNumber, inodeNumber)] = position;
	}

	/** Where the file was listed last, or -1: not among the last ENTRIES, or its slot was taken. */
	positionOf(copyNumber: number, inodeNumber: number): number {
		const position = this.#slots[slotOf(copyNumber, inodeNumber)]!;
		const isIt = this.#inodeNumbers[position] === inodeNumber && this.#copyNumbers[position] === copyNumber;
		return isIt ? position : -1;
	}

	/** The position of the file listed after that one, or -1 after the last. */
	after(position: number): number {
		const next = (position + 1) % ENTRIES;
		return next === Atomics.load(this.#head, HEAD) % ENTRIES ? -1 : next;
	}

	/** How many files were listed between the two, whichever came first. */
	static distance(a: number, b: number): number {
		const forward = (a - b + ENTRIES) % ENTRIES;
		return Math.min(forward, ENTRIES - forward);
	}

	copyNumberAt(position: number): number {
		return this.#copyNumbers[position]!;
	}

	inodeNumberAt(position: number): number {
		return this.#inodeNumbers[position]!;
	}

	isKnown(position: number): boolean {
		return this.#known[position] === 1;
	}

	setKnown(position: number): void {
		this.#known[position] = 1;
	}

	/** The kernel may have forgotten the content of this file and of as many that were listed after it. */
	forget(position: number, count: number): void {
		this.#known.fill(0, position, position + count);
		this.#known.fill(0, 0, Math.max(0, position + count - ENTRIES));
	}
}

function slotOf(copyNumber: number, inodeNumber: number): number {
	const mixed = Math.imul(inodeNumber ^ Math.imul(copyNumber, 0x9e3779b1), 0x85ebca6b);
	return (mixed >>> 8) % SLOTS;
}
