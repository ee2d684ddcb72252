import { firstBlockOfGroup, type GroupDescriptors, headBlocksOfGroup } from './group-descriptors.ts';
import type { Superblock } from './superblock.ts';

/** What statfs(2) tells. Blocks are file system blocks. */
export interface Statfs {
	readonly blockSizeBytes: number;
	/** Without what the file system needs for itself. */
	readonly blocks: number;
	readonly freeBlocks: number;
	/** For users who are not root. */
	readonly availableBlocks: number;
	readonly files: number;
	readonly freeFiles: number;
	readonly nameMaxBytes: 255;
}

const MAX_RESERVED_CLUSTERS = 4096;
/** Two bitmaps, the inode table, and superblock with descriptors. */
const PIECES_PER_GROUP = 4;

/** As fs/ext4/super.c, ext4_statfs: free space is summed from the groups, since the superblock's own counts are stale. */
export function computeStatfs(superblock: Superblock, groups: GroupDescriptors, journalBlocks: number): Statfs {
	let freeClusters = 0;
	let freeFiles = 0;
	for (let group = 0; group < superblock.groupCount; group++) {
		const descriptor = groups.get(group);
		freeClusters += descriptor.freeClusters;
		freeFiles += descriptor.freeInodes;
	}
	const { blocksPerCluster } = superblock;
	const overhead = overheadClusters(superblock, groups, journalBlocks) * blocksPerCluster;
	const freeBlocks = freeClusters * blocksPerCluster;
	const kept = superblock.reservedBlocks + reservedClusters(superblock) * blocksPerCluster;
	return {
		blockSizeBytes: superblock.blockSizeBytes,
		blocks: superblock.blockCount - overhead,
		freeBlocks,
		availableBlocks: Math.max(0, freeBlocks - kept),
		files: superblock.inodeCount,
		freeFiles,
		nameMaxBytes: 255,
	};
}

/** What the kernel keeps for the extents of delayed writes (ext4_set_resv_clusters). */
function reservedClusters(superblock: Superblock): number {
	if (!superblock.features.has('extent')) return 0;
	const clusters = Math.floor(superblock.blockCount / superblock.blocksPerCluster);
	return Math.min(Math.floor(clusters / 50), MAX_RESERVED_CLUSTERS);
}

/** Where clusters are blocks it is counted anew; otherwise the superblock's count is believed (ext4_calculate_overhead). */
function overheadClusters(superblock: Superblock, groups: GroupDescriptors, journalBlocks: number): number {
	const { blocksPerCluster, groupCount, firstDataBlock, inodeTableBlocks } = superblock;
	const isStored = superblock.overheadClusters > 0 && superblock.overheadClusters <= superblock.blockCount;
	if (superblock.features.has('bigalloc') && isStored) return superblock.overheadClusters;
	let clusters = Math.floor(firstDataBlock / blocksPerCluster) + Math.ceil(journalBlocks / blocksPerCluster);
	const bigallocUsed = blocksPerCluster > 1 ? countUsedClusters(superblock, groups) : undefined;
	if (bigallocUsed !== undefined) return clusters + bigallocUsed;
	for (let group = 0; group < groupCount; group++) {
		clusters += headBlocksOfGroup(superblock, group) + inodeTableBlocks + 2;
	}
	return clusters;
}

/** The clusters that hold any metadata: one may hold several pieces, so what counts is their union. */
function countUsedClusters(superblock: Superblock, groups: GroupDescriptors): number {
	const { blocksPerCluster, blockCount, groupCount, inodeTableBlocks } = superblock;
	const starts = new Float64Array(PIECES_PER_GROUP * groupCount);
	const ends = new Float64Array(PIECES_PER_GROUP * groupCount);
	let pieces = 0;
	const add = (block: number, count: number) => {
		// A damaged descriptor may name any place.
		if (block >= blockCount || count === 0) return;
		starts[pieces] = Math.floor(block / blocksPerCluster);
		ends[pieces++] = Math.floor((Math.min(block + count, blockCount) - 1) / blocksPerCluster) + 1;
	};
	for (let group = 0; group < groupCount; group++) {
		const descriptor = groups.get(group);
		add(descriptor.blockBitmap, 1);
		add(descriptor.inodeBitmap, 1);
		add(descriptor.inodeTable, inodeTableBlocks);
		add(firstBlockOfGroup(superblock, group), headBlocksOfGroup(superblock, group));
	}
	return unionLength(starts.subarray(0, pieces).sort(), ends.subarray(0, pieces).sort());
}

/** How much any of these ranges cover, whose starts and ends are sorted each on their own. */
function unionLength(starts: Float64Array, ends: Float64Array): number {
	let [length, open, openedAt, started] = [0, 0, 0, 0];
	for (const end of ends) {
		for (; started < starts.length && starts[started]! <= end; started++) {
			if (open++ === 0) openedAt = starts[started]!;
		}
		if (--open === 0) length += end - openedAt;
	}
	return length;
}
