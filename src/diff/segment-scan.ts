/** Opening a segment: which chunks does it hold, and where does it end? Reads the record headers one after the other. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { corrupt } from '../errors.ts';
import type { PlaceList } from './place-list.ts';
import {
	checkSegmentHeader,
	chunkIndexAt,
	decodeRecordHead,
	isSegmentHeader,
	PAGE_BYTES,
	readRecordHeader,
	type SegmentIdentity,
} from './segment.ts';

export interface SegmentContent {
	/** Length up to the end of the last sound record; what lies behind is a torn tail. */
	readonly lengthBytes: number;
	readonly nextSequence: number;
	/** Of the segment that was read into it last. */
	readonly places: PlaceList;
}

/**
 * Reads a segment's records, the places of their chunks into a list; up to `durableBytes` they are known to be durable,
 * so their content is not looked at: it may have been given back. Errors: those of checkSegmentHeader; corrupt
 * `segment-damaged` where a record is unsound although it was durable, or where an entry names a chunk that the volume
 * does not have.
 */
export function scanSegment(
	path: string,
	identity: SegmentIdentity,
	durableBytes: number,
	into: PlaceList,
): SegmentContent {
	const fd = openSync(path, 'r');
	try {
		return scanRecords(fd, path, identity, durableBytes, into);
	} finally {
		closeSync(fd);
	}
}

function scanRecords(
	fd: number,
	path: string,
	identity: SegmentIdentity,
	knownBytes: number,
	into: PlaceList,
): SegmentContent {
	checkHeader(fd, path, identity);
	const fileBytes = fstatSync(fd).size;
	const records = walkHeads(fd, fileBytes, identity, into);
	const endBytes = records.at(-1)?.endBytes ?? PAGE_BYTES;
	const toldBytes = lastHead(fd, fileBytes, endBytes, identity.epoch, records);
	const durableBytes = Math.max(knownBytes, toldBytes);
	const isSound = ({ atBytes }: RecordAt) => atBytes < durableBytes || hasSoundContent(fd, atBytes, identity);
	const torn = records.findIndex((record) => !isSound(record));
	const sound = torn < 0 ? records : records.slice(0, torn);
	const lengthBytes = sound.at(-1)?.endBytes ?? PAGE_BYTES;
	if (lengthBytes < toldBytes) {
		throw corrupt(
			'segment-damaged',
			`${path}: record ${sound.length} at byte ${lengthBytes} is damaged (durable up to ${toldBytes})`,
		);
	}
	into.cutTo(sound.at(-1)?.placesUpTo ?? 0);
	checkPlaces(into, path, identity);
	return { lengthBytes, nextSequence: sound.length, places: into };
}

/** Errors: those of checkSegmentHeader; corrupt `segment-damaged` where the file ends within the header. */
export function checkSegmentFile(path: string, identity: SegmentIdentity): void {
	const fd = openSync(path, 'r');
	try {
		checkHeader(fd, path, identity);
	} finally {
		closeSync(fd);
	}
}

function checkHeader(fd: number, path: string, identity: SegmentIdentity): void {
	const page = Buffer.alloc(PAGE_BYTES);
	const bytes = readSync(fd, page, 0, PAGE_BYTES, 0);
	if (bytes < PAGE_BYTES) {
		throw corrupt('segment-damaged', `${path}: has ${bytes} bytes, its header alone has ${PAGE_BYTES}`);
	}
	checkSegmentHeader(page, identity, path);
}

/** Whether a file begins with all of a segment's header, whosever segment it is. */
export function hasHeader(path: string): boolean {
	const page = readFileSync(path).subarray(0, PAGE_BYTES);
	return page.length === PAGE_BYTES && isSegmentHeader(page);
}

interface RecordAt {
	readonly atBytes: number;
	readonly endBytes: number;
	/** How many places there are up to its last. */
	readonly placesUpTo: number;
}

/** The records from the first on, as far as their headers are sound and the file reaches; their places go into the list. */
function walkHeads(fd: number, fileBytes: number, identity: SegmentIdentity, into: PlaceList): RecordAt[] {
	const page = Buffer.alloc(PAGE_BYTES);
	const pagesPerChunk = identity.chunkSizeBytes / PAGE_BYTES;
	const records: RecordAt[] = [];
	into.clear();
	for (let atBytes = PAGE_BYTES; atBytes + PAGE_BYTES <= fileBytes; ) {
		readSync(fd, page, 0, PAGE_BYTES, atBytes);
		const head = readRecordHeader(page, identity.epoch, atBytes);
		if (head?.sequence !== records.length) break;
		const { dataCount, zeroCount } = head;
		const endBytes = atBytes + PAGE_BYTES + dataCount * identity.chunkSizeBytes;
		if (endBytes > fileBytes) break;
		const recordPage = atBytes / PAGE_BYTES;
		for (let i = 0; i < dataCount; i++) into.add(chunkIndexAt(page, i), recordPage + 1 + i * pagesPerChunk, false);
		for (let i = 0; i < zeroCount; i++) into.add(chunkIndexAt(page, dataCount + i), recordPage, true);
		records.push({ atBytes, endBytes, placesUpTo: into.count });
		atBytes = endBytes;
	}
	return records;
}

/**
 * Where the last record begins, up to which the segment was durable: the last of those that were walked, or one behind
 * the place where the walk ended, which tells damage from a torn tail.
 */
function lastHead(
	fd: number,
	fileBytes: number,
	endBytes: number,
	epoch: number,
	records: readonly RecordAt[],
): number {
	let lastBytes = records.at(-1)?.atBytes ?? PAGE_BYTES;
	const page = Buffer.alloc(PAGE_BYTES);
	for (let atBytes = endBytes; atBytes + PAGE_BYTES <= fileBytes; atBytes += PAGE_BYTES) {
		readSync(fd, page, 0, PAGE_BYTES, atBytes);
		const head = readRecordHeader(page, epoch, atBytes);
		if (head && head.sequence > records.length) lastBytes = atBytes;
	}
	return lastBytes;
}

function checkPlaces(places: PlaceList, path: string, { volumeSizeBytes, chunkSizeBytes }: SegmentIdentity): void {
	const chunkCount = Math.ceil(volumeSizeBytes / chunkSizeBytes);
	const { words } = places;
	for (let i = 0; i < words.length; i += 2) {
		if (words[i]! < chunkCount) continue;
		const what = `a record names chunk ${words[i]} at page ${words[i + 1]! >>> 1}, the volume has ${chunkCount}`;
		throw corrupt('segment-damaged', `${path}: ${what}`);
	}
}

function hasSoundContent(fd: number, atBytes: number, { epoch, chunkSizeBytes }: SegmentIdentity): boolean {
	const page = Buffer.alloc(PAGE_BYTES);
	readSync(fd, page, 0, PAGE_BYTES, atBytes);
	const content = Buffer.alloc(chunkSizeBytes);
	return decodeRecordHead(page, epoch, atBytes)!.data.every((entry, i) => {
		readSync(fd, content, 0, chunkSizeBytes, atBytes + PAGE_BYTES + i * chunkSizeBytes);
		return crc32(content) === entry.crc32;
	});
}
