import { crc32c, crc32cOfZeros } from '../bytes/crc32c.ts';
import { decodeRecordLength } from './directory-entry.ts';
import { type Inode, inodeChecksumSeed } from './inode.ts';
import { DIRECTORY_TAIL_BYTES, DIRECTORY_TAIL_TYPE, directoryEntryLayout, FLAG_INDEX } from './layout.ts';
import type { Superblock } from './superblock.ts';

const { at } = directoryEntryLayout;
/** Where the index entries of an htree's root and of its other nodes start (struct dx_root, struct dx_node). */
const ROOT_ENTRIES_AT = 32;
const NODE_ENTRIES_AT = 8;
const INDEX_ENTRY_BYTES = 8;
const INDEX_TAIL_BYTES = 8;

/**
 * Whether a directory block's checksum is right (fs/ext4/namei.c, ext4_dirblock_csum_verify and ext4_dx_csum_verify).
 * An htree node and an empty block of entries look the same from outside: either checksum will do for these.
 */
export function isDirectoryBlockSound(
	superblock: Superblock,
	directory: Inode,
	fileBlock: number,
	bytes: Buffer,
): boolean {
	const seed = inodeChecksumSeed(superblock, directory.number, directory.generation);
	if (directory.flags & FLAG_INDEX) {
		if (fileBlock === 0) return isIndexSound(seed, bytes, ROOT_ENTRIES_AT);
		const firstLength = decodeRecordLength(bytes.readUInt16LE(at.recordLength), bytes.length);
		if (firstLength === bytes.length) return isIndexSound(seed, bytes, NODE_ENTRIES_AT);
	}
	return isLeafSound(seed, bytes);
}

function isLeafSound(seed: number, bytes: Buffer): boolean {
	const tail = bytes.length - DIRECTORY_TAIL_BYTES;
	const raw = directoryEntryLayout.decode(bytes, tail);
	const isTail =
		raw.inode === 0 &&
		raw.recordLength === DIRECTORY_TAIL_BYTES &&
		raw.nameLength === 0 &&
		raw.fileType === DIRECTORY_TAIL_TYPE;
	return isTail && crc32c(seed, bytes, 0, tail) === bytes.readUInt32LE(tail + 8);
}

/** Covers the used entries, then the tail behind the last possible entry with its checksum as zeros. */
function isIndexSound(seed: number, bytes: Buffer, entriesAt: number): boolean {
	const limit = bytes.readUInt16LE(entriesAt);
	const count = bytes.readUInt16LE(entriesAt + 2);
	const tail = entriesAt + limit * INDEX_ENTRY_BYTES;
	if (count > limit || tail + INDEX_TAIL_BYTES > bytes.length) return false;
	let crc = crc32c(seed, bytes, 0, entriesAt + count * INDEX_ENTRY_BYTES);
	crc = crc32cOfZeros(crc32c(crc, bytes, tail, tail + 4), 4);
	return crc === bytes.readUInt32LE(tail + 4);
}
