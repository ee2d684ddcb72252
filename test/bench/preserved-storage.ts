import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
	encodeRecordHead,
	encodeSegmentHeader,
	PAGE_BYTES,
	placesFileName,
	RECORD_CHUNKS_MAX,
	type SegmentIdentity,
	segmentFileName,
} from '../../src/diff/segment.ts';

/**
 * Writes the segment of an epoch as if `chunkCount` chunks had been preserved in it. It is sparse: only the heads of its
 * records are written, so nobody may read these chunks. Returns its length.
 */
export function writeSegment(
	directory: string,
	identity: SegmentIdentity,
	chunkCount: number,
	nextChunk: () => number,
): number {
	const { epoch, chunkSizeBytes } = identity;
	const fd = openSync(join(directory, segmentFileName(epoch)), 'w');
	rmSync(join(directory, placesFileName(epoch)), { force: true });
	writeSync(fd, encodeSegmentHeader(identity), 0, PAGE_BYTES, 0);
	const page = Buffer.alloc(PAGE_BYTES);
	let at = PAGE_BYTES;
	for (let sequence = 0; sequence * RECORD_CHUNKS_MAX < chunkCount; sequence++) {
		const count = Math.min(RECORD_CHUNKS_MAX, chunkCount - sequence * RECORD_CHUNKS_MAX);
		const data = Array.from({ length: count }, () => ({ chunkIndex: nextChunk(), crc32: 0 }));
		encodeRecordHead({ sequence, atBytes: at, data, zeros: [] }, epoch, page);
		writeSync(fd, page, 0, PAGE_BYTES, at);
		at += PAGE_BYTES + count * chunkSizeBytes;
	}
	ftruncateSync(fd, at);
	closeSync(fd);
	return at;
}
