import { crc32c } from '../bytes/crc32c.ts';
import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import type { FileBlocks } from './file-blocks.ts';
import {
	descriptorPlace,
	firstBlockOfGroup,
	type GroupDescriptor,
	type GroupDescriptors,
	headBlocksOfGroup,
} from './group-descriptors.ts';
import { readInode } from './inode.ts';
import { GROUP_BLOCK_UNINIT } from './layout.ts';
import type { Superblock } from './superblock.ts';

/** The parts of an ExtFileSystem that this needs. */
interface Source {
	readonly blocks: BlockReader;
	readonly groups: GroupDescriptors;
	readonly files: FileBlocks;
}

/** Gets adjacent blocks; ranges come in ascending order and never touch. */
export type RangeVisitor = (startBlock: number, blockCount: number) => void;

/** Another state of the same volume, whose ranges were visited already. Neither of the two has fast commits. */
export interface StateBefore {
	/** What `usedRanges` returned for it. */
	readonly bitmapBlocks: BitmapBlocks;
	/** Whether these blocks hold the same in both states. */
	isUnchanged(startBlock: number, blockCount: number): boolean;
}

/** Where the block bitmap of each group is. */
export type BitmapBlocks = Float64Array;

/**
 * Visits all blocks in use: by files, by the file system itself, and the boot block. With clusters (`bigalloc`) all
 * blocks of a used cluster count. Groups whose descriptor and bitmap are as they were `before` are left out.
 * Errors: `corrupt` for a bitmap whose checksum is wrong, or one outside the volume.
 */
export function usedRanges({ blocks, groups, files }: Source, visit: RangeVisitor, before?: StateBefore): BitmapBlocks {
	const { superblock } = blocks;
	const ranges = new RangeJoiner(superblock.blockCount, visit, remappedClusters(superblock, files));
	const bitmapBlocks = before ? before.bitmapBlocks.slice() : new Float64Array(superblock.groupCount);
	ranges.add(0, superblock.firstDataBlock);
	for (let group = 0; group < superblock.groupCount; group++) {
		if (before && isUnchangedGroup(superblock, group, before)) continue;
		const descriptor = groups.get(group);
		bitmapBlocks[group] = descriptor.blockBitmap;
		if (descriptor.flags & GROUP_BLOCK_UNINIT && hasUninitialisedGroups(superblock)) {
			addOwnMetadata(superblock, descriptor, ranges);
		} else {
			addBitmap(superblock, group, readBitmap(blocks, descriptor), ranges);
		}
	}
	ranges.end();
	return bitmapBlocks;
}

function isUnchangedGroup(superblock: Superblock, group: number, before: StateBefore): boolean {
	return (
		before.isUnchanged(descriptorPlace(superblock, group).block, 1) &&
		before.isUnchanged(before.bitmapBlocks[group]!, 1)
	);
}

/**
 * Visits the blocks of the journal in this volume, without its superblock. When `needs_recovery` is not set, their
 * content means nothing.
 */
export function journalRanges({ blocks, groups, files }: Source, visit: RangeVisitor): void {
	const { features, journalInode, blockSizeBytes, blockCount } = blocks.superblock;
	if (!features.has('has_journal') || journalInode === 0) return;
	const inode = readInode(blocks, groups, journalInode);
	const end = Math.min(Math.floor(inode.sizeBytes / blockSizeBytes), blockCount);
	for (let fileBlock = 1; fileBlock < end; ) {
		const { block, count } = files.joinedRunAt(inode, fileBlock, end - fileBlock);
		if (block !== 0) visit(block, count);
		fileBlock += count;
	}
}

const hasUninitialisedGroups = ({ features }: Superblock) => features.has('uninit_bg') || features.has('metadata_csum');

/** The bitmap of such a group was never written: it has nothing but its own metadata (ext4_init_block_bitmap). */
function addOwnMetadata(superblock: Superblock, descriptor: GroupDescriptor, ranges: RangeJoiner): void {
	const { group, blockBitmap, inodeBitmap, inodeTable } = descriptor;
	const { blocksPerCluster, blocksPerGroup, inodeTableBlocks } = superblock;
	const first = firstBlockOfGroup(superblock, group);
	const parts = [
		[first, headBlocksOfGroup(superblock, group)],
		[blockBitmap, 1],
		[inodeBitmap, 1],
		[inodeTable, inodeTableBlocks],
	] as const;
	const inGroup = parts
		.filter(([start, count]) => count > 0 && start < first + blocksPerGroup && start + count > first)
		.sort(([a], [b]) => a - b);
	for (const [start, count] of inGroup) {
		const cluster = Math.floor((start - first) / blocksPerCluster) * blocksPerCluster;
		const end = Math.ceil((start + count - first) / blocksPerCluster) * blocksPerCluster;
		ranges.add(first + cluster, end - cluster);
	}
}

function readBitmap(blocks: BlockReader, { group, blockBitmap, blockBitmapChecksum }: GroupDescriptor): Buffer {
	const { superblock } = blocks;
	const bytes = blocks.metadata(blockBitmap, `block bitmap of group ${group}`, 0);
	if (superblock.features.has('metadata_csum')) {
		const computed = crc32c(superblock.checksumSeed, bytes, 0, superblock.clustersPerGroup / 8);
		const isLong = superblock.descriptorSizeBytes > 32;
		if ((isLong ? computed : computed & 0xffff) !== blockBitmapChecksum) {
			throw corrupt('checksum', `group ${group}: the checksum of its block bitmap does not fit its content`);
		}
	}
	return bytes;
}

/** A bit for each cluster of the group. Whole words of ones or zeros, nearly all of them, are taken at once. */
function addBitmap(superblock: Superblock, group: number, bitmap: Buffer, ranges: RangeJoiner): void {
	const { blocksPerCluster, clustersPerGroup } = superblock;
	const first = firstBlockOfGroup(superblock, group);
	for (let cluster = 0; cluster < clustersPerGroup; ) {
		const isWord = cluster % 32 === 0 && cluster + 32 <= clustersPerGroup;
		const word = isWord ? bitmap.readInt32LE(cluster / 8) : 1;
		if (isWord && (word === 0 || word === -1)) {
			if (word === -1) ranges.add(first + cluster * blocksPerCluster, 32 * blocksPerCluster);
			cluster += 32;
			continue;
		}
		const end = Math.min(clustersPerGroup, cluster + 32);
		for (; cluster < end; cluster++) {
			if ((bitmap[cluster >>> 3]! >>> (cluster & 7)) & 1) {
				ranges.add(first + cluster * blocksPerCluster, blocksPerCluster);
			}
		}
	}
}

/** Where fast commits put data: no bitmap has it yet. Whole clusters, in ascending order. */
function remappedClusters({ firstDataBlock, blocksPerCluster }: Superblock, files: FileBlocks): Range[] {
	const clusterOf = (block: number) => Math.floor((block - firstDataBlock) / blocksPerCluster);
	return [...files.remapped.values()]
		.flatMap((ranges) => ranges.all)
		.filter(({ block }) => block >= firstDataBlock && block !== 0)
		.map(({ block, blockCount }) => {
			const first = clusterOf(block);
			const last = clusterOf(block + blockCount - 1);
			return { start: firstDataBlock + first * blocksPerCluster, count: (last + 1 - first) * blocksPerCluster };
		})
		.sort((a, b) => a.start - b.start);
}

interface Range {
	readonly start: number;
	readonly count: number;
}

/** Joins ranges that touch or overlap, and cuts what is past the end: the last bitmap has ones there. */
class RangeJoiner {
	readonly #blockCount: number;
	readonly #visit: RangeVisitor;
	/** To be put in between those that are added; the next one is the last. */
	readonly #others: Range[];
	#start = 0;
	#end = 0;

	constructor(blockCount: number, visit: RangeVisitor, others: readonly Range[]) {
		this.#blockCount = blockCount;
		this.#visit = visit;
		this.#others = [...others].reverse();
	}

	/** Starts must ascend. */
	add(start: number, count: number): void {
		this.#joinOthersUpTo(start);
		this.#join(start, count);
	}

	end(): void {
		this.#joinOthersUpTo(this.#blockCount);
		this.#give();
	}

	#joinOthersUpTo(start: number): void {
		for (let next = this.#others.at(-1); next && next.start <= start; next = this.#others.at(-1)) {
			this.#join(next.start, next.count);
			this.#others.pop();
		}
	}

	#join(start: number, count: number): void {
		const end = Math.min(start + count, this.#blockCount);
		if (start > this.#end) {
			this.#give();
			this.#start = start;
		}
		if (end > this.#end) this.#end = end;
	}

	#give(): void {
		if (this.#end > this.#start) this.#visit(this.#start, this.#end - this.#start);
	}
}
