import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import type { Extent } from './extent-tree.ts';
import type { BlockRun } from './file-blocks.ts';
import { blockField, type Inode } from './inode.ts';
import { DIRECT_BLOCKS } from './layout.ts';

/**
 * The map of a file without extents, as ext2 has it: in the inode 12 pointers to blocks, then one each to a block of
 * pointers, to a block of pointers to those, and once more. A pointer of 0, at any level, is a hole.
 */
export function blockMapRunAt(blocks: BlockReader, inode: Inode, fileBlock: number): BlockRun {
	const root = blockField(inode);
	if (fileBlock < DIRECT_BLOCKS) return scanPointers(root, fileBlock, DIRECT_BLOCKS);

	const perBlock = blocks.superblock.blockSizeBytes / 4;
	let inTree = fileBlock - DIRECT_BLOCKS;
	let levels = 1;
	for (let span = perBlock; inTree >= span; span *= perBlock) {
		inTree -= span;
		levels++;
		if (levels > 3)
			throw corrupt('block-map', `inode ${inode.number}: file block ${fileBlock} is past what its block map can hold`);
	}
	let pointer = root.readUInt32LE(4 * (DIRECT_BLOCKS + levels - 1));
	for (let span = perBlock ** (levels - 1); ; span /= perBlock) {
		// Nothing below: a hole to the end of what this pointer stands for.
		if (pointer === 0) return { block: 0, count: span * perBlock - (inTree % (span * perBlock)) };
		const pointers = blocks.metadata(pointer, 'block of block pointers', inode.number);
		const index = Math.floor(inTree / span) % perBlock;
		if (span === 1) return scanPointers(pointers, index, perBlock);
		pointer = pointers.readUInt32LE(4 * index);
	}
}

/** The run from `index` on, as far as these pointers show it. */
function scanPointers(pointers: Buffer, index: number, end: number): BlockRun {
	const block = pointers.readUInt32LE(4 * index);
	let count = 1;
	while (index + count < end && pointers.readUInt32LE(4 * (index + count)) === (block === 0 ? 0 : block + count))
		count++;
	return { block, count };
}

/**
 * Visits the map from left to right: runs of data, and each block of pointers before what is below it, with how many
 * levels are below that. Ends where a visitor returns false.
 */
export function visitBlockMap(
	blocks: BlockReader,
	inode: Inode,
	onRun: (run: Extent) => boolean,
	onNode: (block: number, depth: number) => boolean,
): void {
	const perBlock = blocks.superblock.blockSizeBytes / 4;
	const visitPointers = (pointers: Buffer, first: number, end: number, fileBlock: number, levels: number): boolean => {
		for (let index = first; index < end; ) {
			const { block, count } =
				levels === 0 ? scanPointers(pointers, index, end) : { block: pointers.readUInt32LE(4 * index), count: 1 };
			const at = fileBlock + (index - first) * perBlock ** levels;
			if (block !== 0 && !visitOne(block, count, at, levels)) return false;
			index += count;
		}
		return true;
	};
	const visitOne = (block: number, count: number, fileBlock: number, levels: number): boolean => {
		if (levels === 0) return onRun({ fileBlock, block, count, isUnwritten: false });
		if (!onNode(block, levels - 1)) return false;
		const pointers = blocks.metadata(block, 'block of block pointers', inode.number);
		return visitPointers(pointers, 0, perBlock, fileBlock, levels - 1);
	};
	const root = blockField(inode);
	let fileBlock = 0;
	let goOn = visitPointers(root, 0, DIRECT_BLOCKS, fileBlock, 0);
	fileBlock += DIRECT_BLOCKS;
	for (let levels = 1; goOn && levels <= 3; levels++) {
		const index = DIRECT_BLOCKS + levels - 1;
		goOn = visitPointers(root, index, index + 1, fileBlock, levels);
		fileBlock += perBlock ** levels;
	}
}
