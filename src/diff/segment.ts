/**
 * The format of a segment: the old chunks of one epoch, in the order in which they were preserved. Append-only, all
 * parts aligned to 4 KiB pages, little-endian.
 *
 *     page 0              segment header
 *     then, repeated:     record header (one page: up to 507 entries), then the content of its data entries
 *
 * A record lists its data entries first, then its zero entries: chunks that held nothing but zeros, which store no
 * content. The last chunk of a volume is padded with zeros to the chunk size.
 *
 * A record is written whole before the live chunks are overwritten, and durable before the next one is appended. So
 * only the last one can be torn by a power cut, and only its content is checked when a segment is opened. What such a
 * tear loses was never overwritten. Old content may look like the header of a record (a volume can hold copies of
 * segments), so a header says where it begins, and counts nowhere else.
 */
import { crc32 } from 'node:zlib';
import { bytes, struct, text, u32le, u64le } from '../bytes/struct.ts';
import { corrupt, unsupported } from '../errors.ts';

export const PAGE_BYTES = 4096;
const SEGMENT_MAGIC = 'NMSEGMNT';
const RECORD_MAGIC = 'NMRECORD';
const SEGMENT_VERSION = 1;

const segmentHeader = struct('segment header', 64, {
	magic: text(8)(0x00),
	version: u32le(0x08),
	epoch: u32le(0x0c),
	volumeId: bytes(16)(0x10),
	volumeSizeBytes: u64le(0x20),
	chunkSizeBytes: u32le(0x28),
	crc32: u32le(0x3c), // of bytes 0x00..0x3b
});

const recordHeader = struct('record header', 36, {
	magic: text(8)(0x00),
	epoch: u32le(0x08),
	sequence: u32le(0x0c), // 0, 1, 2, … within the segment
	atBytes: u64le(0x10), // where it begins; so far the segment was durable when it was appended
	dataCount: u32le(0x18), // entries with content, first
	zeroCount: u32le(0x1c), // entries without
	crc32: u32le(0x20), // of the page, with this field as zeros
});

const ENTRIES_AT = recordHeader.sizeBytes;
const ENTRY_BYTES = 8;
const HEADER_CRC_AT = recordHeader.at.crc32;

/** The most chunks that one record can hold. */
export const RECORD_CHUNKS_MAX = Math.floor((PAGE_BYTES - ENTRIES_AT) / ENTRY_BYTES);

export interface SegmentIdentity {
	readonly volumeId: Uint8Array;
	readonly volumeSizeBytes: number;
	readonly chunkSizeBytes: number;
	readonly epoch: number;
}

export interface RecordEntry {
	readonly chunkIndex: number;
	/** CRC-32 of the content; 0 for a zero entry. */
	readonly crc32: number;
}

export interface RecordHead {
	readonly sequence: number;
	/** Where it begins in the segment. */
	readonly atBytes: number;
	readonly data: readonly RecordEntry[];
	readonly zeros: readonly RecordEntry[];
}

/** The first page of a segment. */
export function encodeSegmentHeader(identity: SegmentIdentity): Buffer {
	const page = Buffer.alloc(PAGE_BYTES);
	segmentHeader.encode({ magic: SEGMENT_MAGIC, version: SEGMENT_VERSION, ...identity }, page);
	segmentHeader.encode({ crc32: crc32(page.subarray(0, segmentHeader.fields.crc32.at)) }, page);
	return page;
}

/** Whether a page is a sound header, of any volume and epoch. */
export function isSegmentHeader(page: Buffer): boolean {
	const { fields } = segmentHeader;
	const sum = crc32(page.subarray(0, fields.crc32.at));
	return fields.magic.read(page, 0) === SEGMENT_MAGIC && fields.crc32.read(page, fields.crc32.at) === sum;
}

/**
 * Checks that a segment belongs to this volume and epoch.
 * Errors: corrupt `segment-damaged`, `segment-foreign`; unsupported `segment-version`.
 */
export function checkSegmentHeader(page: Buffer, expected: SegmentIdentity, path: string): void {
	const { fields } = segmentHeader;
	if (fields.magic.read(page, 0) !== SEGMENT_MAGIC) {
		throw corrupt('segment-damaged', `${path}: is no segment of a diff area`);
	}
	const version = fields.version.read(page, fields.version.at);
	if (version !== SEGMENT_VERSION) {
		throw unsupported(
			'segment-version',
			`${path}: has format version ${version}, this Noonmark reads version ${SEGMENT_VERSION}`,
		);
	}
	if (fields.crc32.read(page, fields.crc32.at) !== crc32(page.subarray(0, fields.crc32.at))) {
		throw corrupt('segment-damaged', `${path}: the checksum of its header is wrong`);
	}
	const header = segmentHeader.decode(page);
	const same =
		Buffer.compare(header.volumeId, expected.volumeId) === 0 &&
		header.epoch === expected.epoch &&
		header.volumeSizeBytes === expected.volumeSizeBytes &&
		header.chunkSizeBytes === expected.chunkSizeBytes;
	if (!same)
		throw corrupt('segment-foreign', `${path}: belongs to another volume or epoch (it says epoch ${header.epoch})`);
}

/** Writes a record's header into the page `into`. */
export function encodeRecordHead(head: RecordHead, epoch: number, into: Buffer): void {
	into.fill(0);
	recordHeader.encode(
		{
			magic: RECORD_MAGIC,
			epoch,
			sequence: head.sequence,
			atBytes: head.atBytes,
			dataCount: head.data.length,
			zeroCount: head.zeros.length,
		},
		into,
	);
	let at = ENTRIES_AT;
	for (const entries of [head.data, head.zeros]) {
		for (const entry of entries) {
			into.writeUInt32LE(entry.chunkIndex, at);
			into.writeUInt32LE(entry.crc32, at + 4);
			at += ENTRY_BYTES;
		}
	}
	into.writeUInt32LE(crc32(into), HEADER_CRC_AT);
}

/** Whether the page at a byte of a segment is the sound header of a record of this epoch. */
export const isRecordHead = (page: Buffer, epoch: number, atBytes: number) =>
	readRecordHeader(page, epoch, atBytes) !== undefined;

/** What the header of a record says of it, without its entries; undefined where the page is not a sound one for its place. */
export function readRecordHeader(
	page: Buffer,
	epoch: number,
	atBytes: number,
): ReturnType<typeof recordHeader.decode> | undefined {
	if (recordHeader.fields.magic.read(page, 0) !== RECORD_MAGIC) return undefined;
	const stored = page.readUInt32LE(HEADER_CRC_AT);
	page.writeUInt32LE(0, HEADER_CRC_AT);
	const computed = crc32(page);
	page.writeUInt32LE(stored, HEADER_CRC_AT);
	if (stored !== computed) return undefined;
	const header = recordHeader.decode(page);
	const isInPlace = header.epoch === epoch && header.atBytes === atBytes;
	return isInPlace && header.dataCount + header.zeroCount <= RECORD_CHUNKS_MAX ? header : undefined;
}

/** The chunk of an entry of a record's header, counted from 0: first those with content. */
export const chunkIndexAt = (page: Buffer, i: number) => page.readUInt32LE(ENTRIES_AT + i * ENTRY_BYTES);

/** An entry of a record's header, counted from 0: first those with content. */
export const recordEntryAt = (page: Buffer, i: number): RecordEntry => ({
	chunkIndex: chunkIndexAt(page, i),
	crc32: page.readUInt32LE(ENTRIES_AT + i * ENTRY_BYTES + 4),
});

/** Decodes the header of a record of this epoch; undefined where the page is not one for its place. */
export function decodeRecordHead(page: Buffer, epoch: number, atBytes: number): RecordHead | undefined {
	const header = readRecordHeader(page, epoch, atBytes);
	if (!header) return undefined;
	const { sequence, dataCount, zeroCount } = header;
	return {
		sequence,
		atBytes,
		data: Array.from({ length: dataCount }, (_, i) => recordEntryAt(page, i)),
		zeros: Array.from({ length: zeroCount }, (_, i) => recordEntryAt(page, dataCount + i)),
	};
}

/**
 * Where a preserved chunk lies: the page within its segment, and whether it is a zero entry (then the page is that of
 * its record's header, and there is nothing to read).
 */
export interface PreservedChunk {
	readonly chunkIndex: number;
	readonly page: number;
	readonly isZero: boolean;
}

/** The places of a record's chunks, for a record whose header is at `recordPage`. */
export function* placesOf(head: RecordHead, recordPage: number, pagesPerChunk: number): Generator<PreservedChunk> {
	let page = recordPage + 1;
	for (const { chunkIndex } of head.data) {
		yield { chunkIndex, page, isZero: false };
		page += pagesPerChunk;
	}
	for (const { chunkIndex } of head.zeros) yield { chunkIndex, page: recordPage, isZero: true };
}

/** The names of an epoch's files in the storage. */
export const segmentFileName = (epoch: number) => `epoch-${String(epoch).padStart(8, '0')}.segment`;
export const placesFileName = (epoch: number) => `epoch-${String(epoch).padStart(8, '0')}.places`;
