import type { BlockRun } from './file-blocks.ts';

/** Blocks of a file that have a new place: `block`, or 0 where they read as zeros now. */
export interface MappedRange {
	readonly fileBlock: number;
	readonly blockCount: number;
	readonly block: number;
}

/** Where some blocks of one file are now; of the others its own map still tells the truth. */
export class MappedRanges {
	/** Disjoint, in ascending order. */
	readonly #ranges: MappedRange[] = [];

	get all(): readonly MappedRange[] {
		return this.#ranges;
	}

	/** What was said of these blocks before is forgotten. */
	set(range: MappedRange): void {
		if (range.blockCount === 0) return;
		const end = range.fileBlock + range.blockCount;
		const first = this.#firstEndingAfter(range.fileBlock);
		let last = first;
		while (last < this.#ranges.length && this.#ranges[last]!.fileBlock < end) last++;
		const overlapped = this.#ranges.slice(first, last);
		const before = overlapped.flatMap((old) => cut(old, old.fileBlock, range.fileBlock));
		const after = overlapped.flatMap((old) => cut(old, end, old.fileBlock + old.blockCount));
		this.#ranges.splice(first, overlapped.length, ...before, range, ...after);
	}

	/** The run from `fileBlock` on, as it is now; `stored` gives what the file's own map says. */
	runAt(fileBlock: number, stored: () => BlockRun): BlockRun {
		const next = this.#ranges[this.#firstEndingAfter(fileBlock)];
		if (!next) return stored();
		const into = fileBlock - next.fileBlock;
		if (into >= 0) return { block: next.block === 0 ? 0 : next.block + into, count: next.blockCount - into };
		const { block, count } = stored();
		return { block, count: Math.min(count, -into) };
	}

	/** The index of the first range that ends behind `fileBlock`. */
	#firstEndingAfter(fileBlock: number): number {
		let low = 0;
		let high = this.#ranges.length;
		while (low < high) {
			const middle = (low + high) >>> 1;
			const { fileBlock: start, blockCount } = this.#ranges[middle]!;
			if (start + blockCount <= fileBlock) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}

/** The part of a range from file block `start` to before `end`, if there is any. */
function cut(range: MappedRange, start: number, end: number): MappedRange[] {
	const from = Math.max(start, range.fileBlock);
	const to = Math.min(end, range.fileBlock + range.blockCount);
	if (from >= to) return [];
	const block = range.block === 0 ? 0 : range.block + from - range.fileBlock;
	return [{ fileBlock: from, blockCount: to - from, block }];
}
