/**
 * A *places file* beside a sealed segment (one that no longer grows) keeps where its chunks lie, so that opening
 * millions of chunks does not read millions of entries in the heads of records. It is only a shortcut: missing or
 * damaged, the segment is read.
 *
 *     header (32 bytes), then per chunk: chunk index (u32le), page * 2 + isZero (u32le)
 */
import { closeSync, fstatSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { struct, text, u32le, u64le } from '../bytes/struct.ts';
import type { PlaceList } from './place-list.ts';

const PLACES_MAGIC = 'NMPLACES';
const PLACES_VERSION = 1;
const PLACE_BYTES = 8;

const placesHeader = struct('places header', 32, {
	magic: text(8)(0x00),
	version: u32le(0x08),
	epoch: u32le(0x0c),
	segmentBytes: u64le(0x10),
	count: u32le(0x18),
	crc32: u32le(0x1c), // of the places
});

/** Writes the places of a sealed segment of this length; where that fails, the segment is read again the next time. */
export function writePlaces(path: string, epoch: number, segmentBytes: number, places: PlaceList): void {
	const body = bytesOf(places.words);
	const header = placesHeader.encode({
		magic: PLACES_MAGIC,
		version: PLACES_VERSION,
		epoch,
		segmentBytes,
		count: places.count,
		crc32: crc32(body),
	});
	try {
		writeFileSync(`${path}.new`, Buffer.concat([header, body]), { mode: 0o600 });
		renameSync(`${path}.new`, path);
	} catch {}
}

/** Reads the places of a segment of this length into a list. False: there is no file that fits the segment. */
export function readPlaces(path: string, epoch: number, segmentBytes: number, into: PlaceList): boolean {
	let fd: number;
	try {
		fd = openSync(path, 'r');
	} catch {
		return false;
	}
	try {
		return readFrom(fd, epoch, segmentBytes, into);
	} catch {
		return false;
	} finally {
		closeSync(fd);
	}
}

function readFrom(fd: number, epoch: number, segmentBytes: number, into: PlaceList): boolean {
	const head = Buffer.alloc(placesHeader.sizeBytes);
	if (readSync(fd, head, 0, head.length, 0) < head.length) return false;
	const header = placesHeader.decode(head);
	const fits =
		header.magic === PLACES_MAGIC &&
		header.version === PLACES_VERSION &&
		header.epoch === epoch &&
		header.segmentBytes === segmentBytes &&
		fstatSync(fd).size === head.length + PLACE_BYTES * header.count;
	if (!fits) return false;
	const body = bytesOf(into.resize(header.count));
	return readSync(fd, body, 0, body.length, head.length) === body.length && crc32(body) === header.crc32;
}

const bytesOf = (words: Uint32Array) => Buffer.from(words.buffer, words.byteOffset, words.byteLength);
