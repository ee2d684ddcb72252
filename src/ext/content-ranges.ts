import { isDeepStrictEqual } from 'node:util';
import type { BlockDevice } from '../block/device.ts';
import { LineCache } from '../block/line-cache.ts';
import { ExtFileSystem, readSuperblock } from './filesystem.ts';
import { STATE_ERRORS, STATE_VALID } from './layout.ts';
import type { Superblock } from './superblock.ts';
import { type BitmapBlocks, journalRanges, usedRanges } from './used-map.ts';

/** Gets a range of bytes. */
export type ByteRangeVisitor = (startByte: number, lengthBytes: number) => void;

/** What was seen of one state of a volume, to find what is new in another: plain data. */
export interface ContentSeen {
	readonly superblock: Superblock;
	readonly unused: readonly BlockRange[];
	readonly bitmapBlocks: BitmapBlocks;
}

/** Another state of the same volume, whose content was visited already. */
export interface ContentBefore {
	/** What `contentRanges` returned for it. */
	readonly seen: ContentSeen;
	/** Whether these bytes are the same in both states. */
	isUnchanged(startByte: number, lengthBytes: number): boolean;
}

interface BlockRange {
	readonly start: number;
	readonly end: number;
}

/** The bitmaps are read once, in a row. */
const CACHE_BYTES = 1 << 20;

/** What a superblock says of where things are, and of how checksums are computed. */
const GEOMETRY = [
	'features',
	'blockSizeBytes',
	'blockCount',
	'firstDataBlock',
	'blocksPerCluster',
	'groupCount',
	'blocksPerGroup',
	'clustersPerGroup',
	'descriptorSizeBytes',
	'firstMetaGroup',
	'reservedDescriptorBlocks',
	'backupGroups',
	'inodeTableBlocks',
	'checksumSeed',
] as const satisfies readonly (keyof Superblock)[];

/**
 * Visits the bytes of a volume that mean something, in ascending order: all blocks in use, and whatever lies behind the
 * file system. Left out are free blocks and, where there is nothing to replay, the journal but for its superblock.
 * `isFrozen`: the file system was mounted and frozen, so what lies on the disk is consistent. Block groups whose
 * descriptor and bitmap are as they were `before` are left out, too. Returns what makes this state one of before, if it
 * may be one.
 *
 * Where the bitmaps may not tell the truth the whole volume is visited: after errors, where fast commits may be pending
 * (they do not log bitmaps), and where there was neither an orderly unmount nor a freeze nor a journal. Errors: those of
 * opening the volume and reading its bitmaps; nothing that was visited before counts then.
 */
export function contentRanges(
	device: BlockDevice,
	isFrozen: boolean,
	visit: ByteRangeVisitor,
	before?: ContentBefore,
): ContentSeen | undefined {
	const needsRecovery = readSuperblock(device).features.has('needs_recovery');
	const fs = ExtFileSystem.open(device, { cache: new LineCache(CACHE_BYTES) });
	const { superblock } = fs;
	if (!areBitmapsTrue(superblock, needsRecovery, isFrozen)) {
		visit(0, device.sizeBytes);
		return undefined;
	}
	const { blockSizeBytes, blockCount } = superblock;
	const unused = needsRecovery ? [] : journalOf(fs);
	const visitUsed = withoutRanges(unused, (start, count) => visit(start * blockSizeBytes, count * blockSizeBytes));
	// What lies in the log is not where it belongs, so what is there says nothing.
	const isComparable = before && !needsRecovery && isAlike(before.seen, superblock, unused);
	const bitmapBlocks = usedRanges(
		fs,
		visitUsed,
		isComparable
			? {
					bitmapBlocks: before.seen.bitmapBlocks,
					isUnchanged: (start, count) => before.isUnchanged(start * blockSizeBytes, count * blockSizeBytes),
				}
			: undefined,
	);
	const fsBytes = blockCount * blockSizeBytes;
	if (fsBytes < device.sizeBytes) visit(fsBytes, device.sizeBytes - fsBytes);
	return needsRecovery ? undefined : { superblock, unused, bitmapBlocks };
}

function isAlike(seen: ContentSeen, superblock: Superblock, unused: readonly BlockRange[]): boolean {
	const isSameGeometry = GEOMETRY.every((field) => isDeepStrictEqual(seen.superblock[field], superblock[field]));
	return isSameGeometry && isDeepStrictEqual(seen.unused, unused);
}

/** Takes the `holes` out of ranges; both ascend. */
function withoutRanges(holes: readonly BlockRange[], visit: (start: number, count: number) => void) {
	let next = 0;
	return (start: number, count: number) => {
		const end = start + count;
		let at = start;
		while (next < holes.length && holes[next]!.end <= start) next++;
		for (; next < holes.length && holes[next]!.start < end; next++) {
			const { start: hole, end: holeEnd } = holes[next]!;
			if (hole > at) visit(at, hole - at);
			at = Math.max(at, holeEnd);
			if (holeEnd > end) break; // it goes on in the next range
		}
		if (end > at) visit(at, end - at);
	};
}

function areBitmapsTrue(superblock: Superblock, needsRecovery: boolean, isFrozen: boolean): boolean {
	const { features, state } = superblock;
	if (state & STATE_ERRORS || (needsRecovery && features.has('fast_commit'))) return false;
	return isFrozen || features.has('has_journal') || (state & STATE_VALID) !== 0;
}

/** The blocks of the journal, without its superblock, by place. */
function journalOf(fs: ExtFileSystem): BlockRange[] {
	const ranges: BlockRange[] = [];
	journalRanges(fs, (start, count) => ranges.push({ start, end: start + count }));
	return ranges.sort((a, b) => a.start - b.start);
}
