import { corrupt } from '../errors.ts';
import { directoryEntryLayout } from './layout.ts';

/** Gets the places of an entry that is in use and of what follows it; returns false to stop. */
export type RawEntryVisitor = (entry: number, next: number) => boolean;

export const NAME_AT = directoryEntryLayout.sizeBytes;
/** The names of a directory for itself and for the one above it. */
export const DOT = Buffer.from('.');
export const DOT_DOT = Buffer.from('..');
const { at } = directoryEntryLayout;
const MIN_RECORD_BYTES = 12;

/**
 * Visits the entries in use of `bytes[start, end)`; false where the visitor stopped. Each is checked before it is used,
 * as fs/ext4/dir.c (__ext4_check_dir_entry) does, so that the walk always gets on and never leaves the range.
 * `base` is what an error message adds to a place.
 */
export function walkEntries(
	bytes: Buffer,
	start: number,
	end: number,
	owner: number,
	base: number,
	visit: RawEntryVisitor,
): boolean {
	for (let entry = start; entry < end; ) {
		if (entry + MIN_RECORD_BYTES > end) throw unsound(owner, base + entry, 'is cut off');
		const recordLength = decodeRecordLength(bytes.readUInt16LE(entry + at.recordLength), end - start);
		const next = entry + recordLength;
		if (recordLength < MIN_RECORD_BYTES || recordLength % 4 !== 0) {
			throw unsound(owner, base + entry, `has a length of ${recordLength}`);
		}
		if (next > end) {
			throw unsound(owner, base + entry, `has a length of ${recordLength}, past the end at ${base + end}`);
		}
		if (NAME_AT + bytes[entry + at.nameLength]! > recordLength) {
			const name = `a name of ${bytes[entry + at.nameLength]} bytes`;
			throw unsound(owner, base + entry, `has ${name} in a length of ${recordLength}`);
		}
		if (bytes.readUInt32LE(entry + at.inode) !== 0 && !visit(entry, next)) return false;
		entry = next;
	}
	return true;
}

const unsound = (owner: number, at: number, what: string) =>
	corrupt('directory-entry', `directory inode ${owner}: the entry at byte ${at} ${what}`);

/** In blocks of 64 KiB a length of 65536 does not fit in 16 bits (fs/ext4/ext4.h, ext4_rec_len_from_disk). */
export function decodeRecordLength(stored: number, blockSizeBytes: number): number {
	if (blockSizeBytes < 65536) return stored;
	if (stored === 0xffff || stored === 0) return blockSizeBytes;
	return (stored & 0xfffc) | ((stored & 3) << 16);
}

export const isDot = (name: Uint8Array) => name.length === 1 && name[0] === 0x2e;
export const isDotDot = (name: Uint8Array) => name.length === 2 && name[0] === 0x2e && name[1] === 0x2e;

/** Whether the entry has just this name, byte for byte. */
export function isNamed(bytes: Buffer, entry: number, name: Uint8Array): boolean {
	if (bytes[entry + at.nameLength] !== name.length) return false;
	for (let i = 0; i < name.length; i++) if (bytes[entry + NAME_AT + i] !== name[i]) return false;
	return true;
}
