/** Where the fields of a metadata block are, as far as the block is sound: damage there is seen, most other is not. */
import { decodeRecordLength } from '../../../src/ext/directory-entry.ts';
import {
	directoryEntryLayout,
	extentHeaderLayout,
	extentLayout,
	xattrBlockHeaderLayout,
	xattrEntryLayout,
} from '../../../src/ext/layout.ts';
import type { FieldTable } from './poke.ts';
import type { MetadataBlock } from './target.ts';

export type Place = readonly [at: number, size: number];

export function placesIn({ kind }: MetadataBlock, bytes: Buffer): Place[] {
	if (kind === 'extents') return extentPlaces(bytes);
	if (kind === 'directory') return directoryPlaces(bytes);
	if (kind === 'xattrs') return xattrPlaces(bytes);
	return Array.from({ length: bytes.length / 4 }, (_, i): Place => [4 * i, 4]);
}

const fieldsAt = (fields: FieldTable, start: number): Place[] =>
	Object.values(fields).map(({ at, size }): Place => [start + at, Math.min(size, 4)]);

function extentPlaces(bytes: Buffer): Place[] {
	const count = Math.min(bytes.readUInt16LE(extentHeaderLayout.at.entryCount), bytes.length / 12 - 1);
	const places = fieldsAt(extentHeaderLayout.fields, 0);
	for (let i = 0; i < count; i++) places.push(...fieldsAt(extentLayout.fields, 12 + 12 * i));
	return places;
}

/** Of an htree's node, these are the fields of its one large entry, and the words behind it. */
function directoryPlaces(bytes: Buffer): Place[] {
	const places: Place[] = [];
	for (let entry = 0; entry + 12 <= bytes.length; ) {
		places.push(...fieldsAt(directoryEntryLayout.fields, entry), [entry + 8, 1]);
		const length = decodeRecordLength(bytes.readUInt16LE(entry + 4), bytes.length);
		if (length < 12) break;
		if (length > bytes.length / 2) for (let at = entry + 8; at < entry + 72; at += 4) places.push([at, 4]);
		entry += length;
	}
	return places;
}

function xattrPlaces(bytes: Buffer): Place[] {
	const places = fieldsAt(xattrBlockHeaderLayout.fields, 0);
	for (let entry = 32; entry + 16 <= bytes.length && bytes.readUInt32LE(entry) !== 0; ) {
		places.push(...fieldsAt(xattrEntryLayout.fields, entry), [entry + 16, 1]);
		entry += 16 + ((bytes[entry]! + 3) & ~3);
	}
	return places;
}
