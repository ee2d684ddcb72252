import { blockMapRunAt } from './block-map.ts';
import type { BlockReader } from './block-reader.ts';
import { ExtentTree } from './extent-tree.ts';
import type { Inode } from './inode.ts';
import { FLAG_EXTENTS } from './layout.ts';
import type { MappedRanges } from './mapped-ranges.ts';

/** Adjacent blocks of a file. */
export interface BlockRun {
	/** Where the first of them is, or 0: all of them read as zeros (a hole, or an extent never written). */
	readonly block: number;
	readonly count: number;
}

/** Where the blocks of files are, whichever way their inodes say it. */
export class FileBlocks {
	readonly #blocks: BlockReader;
	readonly extents: ExtentTree;
	/** What fast commits say of some files, by inode number. */
	readonly remapped: ReadonlyMap<number, MappedRanges>;

	constructor(blocks: BlockReader, remapped: ReadonlyMap<number, MappedRanges> = new Map()) {
		this.#blocks = blocks;
		this.remapped = remapped;
		this.extents = new ExtentTree(blocks);
	}

	/** The longest run from `fileBlock` on that is found without looking far; at least one block, perhaps past the size. */
	runAt(inode: Inode, fileBlock: number): BlockRun {
		const ranges = this.remapped.get(inode.number);
		return ranges
			? ranges.runAt(fileBlock, () => this.#storedRunAt(inode, fileBlock))
			: this.#storedRunAt(inode, fileBlock);
	}

	#storedRunAt(inode: Inode, fileBlock: number): BlockRun {
		return inode.flags & FLAG_EXTENTS
			? this.extents.runAt(inode, fileBlock)
			: blockMapRunAt(this.#blocks, inode, fileBlock);
	}

	/** The run from `fileBlock` on, at most `maxCount` blocks, with what lies next to it on the disk joined. */
	joinedRunAt(inode: Inode, fileBlock: number, maxCount: number): BlockRun {
		const { block, count: first } = this.runAt(inode, fileBlock);
		let count = first;
		while (count < maxCount) {
			const next = this.runAt(inode, fileBlock + count);
			if (next.block !== (block === 0 ? 0 : block + count)) break;
			count += next.count;
		}
		return { block, count: Math.min(count, maxCount) };
	}
}
