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
/** A volume of 128 TiB with blocks of 4 KiB has so many. A reader's thread is busy with them for some 3 s, once for a copy. */
const GROUPS_SUMMED_MAX = 2 ** 20;

/**
 * As fs/ext4/super.c, ext4_statfs: free space is summed from the groups, since the superblock's own counts may be stale. They
 * are believed where a volume has so many groups that nobody would wait for that: an image can say that it has 2^32.
 */
export function computeStatfs(superblock: Superblock, groups: GroupDescriptors, journalBlocks: number): Statfs {
	const { blocksPerCluster } = superblock;
	const isSummed = superblock.groupCount <= GROUPS_SUMMED_MAX;
	const { freeBlocks, freeInodes: freeFiles } = isSummed ? sumOfGroups(superblock, groups) : superblock;
	const overheadFound = isSummed ? overheadClusters(superblock, groups, journalBlocks) : storedOverhead(superblock);
	const overhead = (overheadFound ?? 0) * blocksPerCluster;
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

function sumOfGroups({ groupCount, blocksPerCluster }: Superblock, groups: GroupDescriptors) {
	let freeClusters = 0;
	let freeInodes = 0;
	for (let group = 0; group < groupCount; group++) {
		const descriptor = groups.get(group);
		freeClusters += descriptor.freeClusters;
		freeInodes += descriptor.freeInodes;
	}
	return { freeBlocks: freeClusters * blocksPerCluster, freeInodes };
}

/** What the kernel keeps for the extents of delayed writes (ext4_set_resv_clusters). */
function reservedClusters(superblock: Superblock): number {
	if (!superblock.features.has('extent')) return 0;
	const clusters = Math.floor(superblock.blockCount / superblock.blocksPerCluster);
	return Math.min(Math.floor(clusters / 50), MAX_RESERVED_CLUSTERS);
}

/** What the superblock says, unless that is nonsense. */
const storedOverhead = ({ overheadClusters: stored, blockCount }: Superblock) =>
	stored > 0 && stored <= blockCount ? stored : undefined;

/** Where clusters are blocks it is counted anew; otherwise the superblock's count is believed (ext4_calculate_overhead). */
function overheadClusters(superblock: Superblock, groups: GroupDescriptors, journalBlocks: number): number {
	const { blocksPerCluster, groupCount, firstDataBlock, inodeTableBlocks } = superblock;
	const stored = storedOverhead(superblock);
	if (superblock.features.has('bigalloc') && stored !== undefined) return stored;
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
