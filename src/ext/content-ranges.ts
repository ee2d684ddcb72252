import type { BlockDevice } from '../block/device.ts';
import { ExtFileSystem, readSuperblock } from './filesystem.ts';
import { STATE_ERRORS, STATE_VALID } from './layout.ts';
import type { Superblock } from './superblock.ts';
import { journalRanges, usedRanges } from './used-map.ts';

/** Gets a range of bytes. */
export type ByteRangeVisitor = (startByte: number, lengthBytes: number) => void;

/**
 * Visits the bytes of a volume that mean something, in ascending order: all blocks in use, and whatever lies behind the
 * file system. Left out are free blocks and, where there is nothing to replay, the journal but for its superblock.
 * `isFrozen`: the file system was mounted and frozen, so what lies on the disk is consistent.
 *
 * Where the bitmaps may not tell the truth the whole volume is visited: after errors, where fast commits may be pending
 * (they do not log bitmaps), and where there was neither an orderly unmount nor a freeze nor a journal. Errors: those of opening the volume and reading its bitmaps; nothing that
 * was visited before counts then.
 */
export function contentRanges(device: BlockDevice, isFrozen: boolean, visit: ByteRangeVisitor): void {
	const needsRecovery = readSuperblock(device).features.has('needs_recovery');
	const fs = ExtFileSystem.open(device);
	if (!areBitmapsTrue(fs.superblock, needsRecovery, isFrozen)) {
		visit(0, device.sizeBytes);
		return;
	}
	const { blockSizeBytes, blockCount } = fs.superblock;
	const unused = needsRecovery ? [] : journalOf(fs);
	let next = 0;
	usedRanges(fs, (start, count) => {
		const end = start + count;
		let at = start;
		for (; next < unused.length && unused[next]!.start < end; next++) {
			const { start: hole, end: holeEnd } = unused[next]!;
			if (hole > at) visit(at * blockSizeBytes, (hole - at) * blockSizeBytes);
			at = Math.max(at, holeEnd);
			if (holeEnd > end) break; // it goes on in the next range
		}
		if (end > at) visit(at * blockSizeBytes, (end - at) * blockSizeBytes);
	});
	const fsBytes = blockCount * blockSizeBytes;
	if (fsBytes < device.sizeBytes) visit(fsBytes, device.sizeBytes - fsBytes);
}

function areBitmapsTrue(superblock: Superblock, needsRecovery: boolean, isFrozen: boolean): boolean {
	const { features, state } = superblock;
	if (state & STATE_ERRORS || (needsRecovery && features.has('fast_commit'))) return false;
	return isFrozen || features.has('has_journal') || (state & STATE_VALID) !== 0;
}

/** The blocks of the journal, without its superblock, by place. */
function journalOf(fs: ExtFileSystem): { start: number; end: number }[] {
	const ranges: { start: number; end: number }[] = [];
	journalRanges(fs, (start, count) => ranges.push({ start, end: start + count }));
	return ranges.sort((a, b) => a.start - b.start);
}
