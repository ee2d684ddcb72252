import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
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
