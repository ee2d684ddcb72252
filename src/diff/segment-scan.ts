/**
 * Opening a segment: which chunks does it hold, and where does it end? Reads the record headers one after the other;
 * a *places file* beside a sealed segment (one that no longer grows) keeps the answer, so that opening millions of
 * chunks does not read millions of headers. A places file is only a shortcut: missing or damaged, the segment is read.
 *
 *     places file: header (32 bytes), then per chunk: chunk index (u32le), page * 2 + isZero (u32le)
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { struct, text, u32le, u64le } from '../bytes/struct.ts';
import { corrupt } from '../errors.ts';
import {
	checkSegmentHeader,
	decodeRecordHead,
	isSegmentHeader,
	PAGE_BYTES,
	type PreservedChunk,
	placesOf,
	type RecordHead,
	type SegmentIdentity,
} from './segment.ts';

const PLACES_MAGIC = 'NMPLACES';
const PLACES_VERSION = 1;

const placesHeader = struct('places header', 32, {
	magic: text(8)(0x00),
	version: u32le(0x08),
	epoch: u32le(0x0c),
	segmentBytes: u64le(0x10),
	count: u32le(0x18),
	crc32: u32le(0x1c), // of the places
});

export interface SegmentContent {
	/** Length up to the end of the last sound record; what lies behind is a torn tail. */
	readonly lengthBytes: number;
	readonly nextSequence: number;
	/** Chunk index and page * 2 + isZero, alternating, in the order in which the chunks were preserved. */
	readonly places: Uint32Array;
}

export function forEachPlace(content: SegmentContent, visit: (place: PreservedChunk) => void): void {
	const { places } = content;
	for (let i = 0; i < places.length; i += 2) {
		visit({ chunkIndex: places[i]!, page: places[i + 1]! >>> 1, isZero: (places[i + 1]! & 1) === 1 });
	}
}

/**
 * Reads a segment's records; up to `durableBytes` they are known to be durable, so their content is not looked at: it may
 * have been given back. Errors: those of checkSegmentHeader; corrupt `segment-damaged` where a record is unsound
 * although it was durable, or where an entry names a chunk that the volume does not have.
 */
export function scanSegment(path: string, identity: SegmentIdentity, durableBytes: number): SegmentContent {
	const fd = openSync(path, 'r');
	try {
		return scanRecords(fd, path, identity, durableBytes);
	} finally {
		closeSync(fd);
	}
}

function scanRecords(fd: number, path: string, identity: SegmentIdentity, knownBytes: number): SegmentContent {
	const fileBytes = fstatSync(fd).size;
	const page = Buffer.alloc(PAGE_BYTES);
	if (fileBytes < PAGE_BYTES) {
		throw corrupt('segment-damaged', `${path}: has ${fileBytes} bytes, its header alone has ${PAGE_BYTES}`);
	}
	readSync(fd, page, 0, PAGE_BYTES, 0);
	checkSegmentHeader(page, identity, path);
	const records = walkHeads(fd, fileBytes, identity);
	const endBytes = records.at(-1)?.endBytes ?? PAGE_BYTES;
	const toldBytes = greatestDurable(fd, fileBytes, endBytes, identity.epoch, records);
	const durableBytes = Math.max(knownBytes, toldBytes);
	const isSound = ({ head, atBytes }: RecordAt) =>
		atBytes < durableBytes || hasSoundContent(fd, head, atBytes + PAGE_BYTES, identity.chunkSizeBytes);
	const torn = records.findIndex((record) => !isSound(record));
	const sound = torn < 0 ? records : records.slice(0, torn);
	const lengthBytes = sound.at(-1)?.endBytes ?? PAGE_BYTES;
	if (lengthBytes < toldBytes) {
		throw corrupt(
			'segment-damaged',
			`${path}: record ${sound.length} at byte ${lengthBytes} is damaged (durable up to ${toldBytes})`,
		);
	}
	return { lengthBytes, nextSequence: sound.length, places: placesIn(sound, path, identity) };
}

/** Whether a file begins with all of a segment's header, whosever segment it is. */
export function hasHeader(path: string): boolean {
	const page = readFileSync(path).subarray(0, PAGE_BYTES);
	return page.length === PAGE_BYTES && isSegmentHeader(page);
}

interface RecordAt {
	readonly head: RecordHead;
	readonly atBytes: number;
	readonly endBytes: number;
}

/** The records from the first on, as far as their headers are sound and the file reaches. */
function walkHeads(fd: number, fileBytes: number, identity: SegmentIdentity): RecordAt[] {
	const page = Buffer.alloc(PAGE_BYTES);
	const records: RecordAt[] = [];
	for (let atBytes = PAGE_BYTES; atBytes + PAGE_BYTES <= fileBytes; ) {
		readSync(fd, page, 0, PAGE_BYTES, atBytes);
		const head = decodeRecordHead(page, identity.epoch);
		if (head?.sequence !== records.length) break;
		const endBytes = atBytes + PAGE_BYTES + head.data.length * identity.chunkSizeBytes;
		if (endBytes > fileBytes) break;
		records.push({ head, atBytes, endBytes });
		atBytes = endBytes;
	}
	return records;
}

/**
 * The greatest durable length that a record tells of: one of those that were walked, or one behind the place where the
 * walk ended. One behind it that says it was durable up to there tells damage from a torn tail.
 */
function greatestDurable(
	fd: number,
	fileBytes: number,
	endBytes: number,
	epoch: number,
	records: readonly RecordAt[],
): number {
	let durableBytes = PAGE_BYTES;
	for (const { head } of records) durableBytes = Math.max(durableBytes, head.durableBytes);
	const page = Buffer.alloc(PAGE_BYTES);
	for (let atBytes = endBytes; atBytes + PAGE_BYTES <= fileBytes; atBytes += PAGE_BYTES) {
		readSync(fd, page, 0, PAGE_BYTES, atBytes);
		const head = decodeRecordHead(page, epoch);
		// A page of old content may look like a header; one of another segment does not fit its place.
		const fits = head && head.sequence > records.length && head.durableBytes <= atBytes;
		if (fits) durableBytes = Math.max(durableBytes, head.durableBytes);
	}
	return durableBytes;
}

function placesIn(records: readonly RecordAt[], path: string, identity: SegmentIdentity): Uint32Array {
	const pagesPerChunk = identity.chunkSizeBytes / PAGE_BYTES;
	const chunkCount = Math.ceil(identity.volumeSizeBytes / identity.chunkSizeBytes);
	const places: number[] = [];
	for (const { head, atBytes } of records) {
		for (const place of placesOf(head, atBytes / PAGE_BYTES, pagesPerChunk)) {
			if (place.chunkIndex >= chunkCount) {
				throw corrupt(
					'segment-damaged',
					`${path}: record ${head.sequence} names chunk ${place.chunkIndex}, the volume has ${chunkCount}`,
				);
			}
			places.push(place.chunkIndex, place.page * 2 + (place.isZero ? 1 : 0));
		}
	}
	return Uint32Array.from(places);
}

function hasSoundContent(fd: number, head: RecordHead, contentBytesAt: number, chunkSizeBytes: number): boolean {
	const content = Buffer.alloc(chunkSizeBytes);
	return head.data.every((entry, i) => {
		readSync(fd, content, 0, chunkSizeBytes, contentBytesAt + i * chunkSizeBytes);
		return crc32(content) === entry.crc32;
	});
}

/** Writes the places of a sealed segment beside it; where that fails, the segment is read again the next time. */
export function writePlaces(path: string, epoch: number, content: SegmentContent): void {
	const body = Buffer.from(content.places.buffer, content.places.byteOffset, content.places.byteLength);
	const header = placesHeader.encode({
		magic: PLACES_MAGIC,
		version: PLACES_VERSION,
		epoch,
		segmentBytes: content.lengthBytes,
		count: content.places.length / 2,
		crc32: crc32(body),
	});
	try {
		writeFileSync(`${path}.new`, Buffer.concat([header, body]), { mode: 0o600 });
		renameSync(`${path}.new`, path);
	} catch {}
}

/** Reads a places file for the segment of this length; undefined where there is none that fits it. */
export function readPlaces(path: string, epoch: number, segmentBytes: number): SegmentContent | undefined {
	let bytes: Buffer;
	try {
		bytes = readFileSync(path);
	} catch {
		return undefined;
	}
	if (bytes.length < placesHeader.sizeBytes) return undefined;
	const header = placesHeader.decode(bytes);
	const body = bytes.subarray(placesHeader.sizeBytes);
	const fits =
		header.magic === PLACES_MAGIC &&
		header.version === PLACES_VERSION &&
		header.epoch === epoch &&
		header.segmentBytes === segmentBytes &&
		body.length === 8 * header.count &&
		crc32(body) === header.crc32;
	if (!fits) return undefined;
	const places = new Uint32Array(body.buffer, body.byteOffset, 2 * header.count);
	return { lengthBytes: segmentBytes, nextSequence: 0, places };
}
