/**
 * The records of fast commits, little-endian, unlike the rest of the journal, with the kernel's names
 * (fs/ext4/fast_commit.h). A record is a tag, the length of its value, and the value.
 */
import { struct, u16le, u32le } from '../bytes/struct.ts';
import { BASE_INODE_BYTES, extentLayout, MAX_WRITTEN_EXTENT_BLOCKS } from './layout.ts';

export const recordLayout = struct('fast commit record', 4, { tag: u16le(0x0), lengthBytes: u16le(0x2) }); // ext4_fc_tl
export const RECORD_BYTES = recordLayout.sizeBytes;

export const TAG_ADD_RANGE = 1; // EXT4_FC_TAG_ADD_RANGE
export const TAG_DELETE_RANGE = 2; // EXT4_FC_TAG_DEL_RANGE
export const TAG_CREATE = 3; // EXT4_FC_TAG_CREAT
export const TAG_LINK = 4; // EXT4_FC_TAG_LINK
export const TAG_UNLINK = 5; // EXT4_FC_TAG_UNLINK
export const TAG_INODE = 6; // EXT4_FC_TAG_INODE
export const TAG_PAD = 7; // EXT4_FC_TAG_PAD
export const TAG_TAIL = 8; // EXT4_FC_TAG_TAIL
export const TAG_HEAD = 9; // EXT4_FC_TAG_HEAD

export const headLayout = struct('fast commit head', 8, { features: u32le(0x0), sequence: u32le(0x4) }); // ext4_fc_head
export const tailLayout = struct('fast commit tail', 8, { sequence: u32le(0x0), checksum: u32le(0x4) }); // ext4_fc_tail
/** ext4_fc_add_range: an inode number, and an extent as in a leaf of an extent tree. */
export const addRangeLayout = struct('fast commit range', 16, { inode: u32le(0x0) });
const ADDED_EXTENT_AT = 4;
// ext4_fc_del_range
export const deleteRangeLayout = struct('fast commit deletion', 12, {
	inode: u32le(0x0),
	fileBlock: u32le(0x4),
	blockCount: u32le(0x8),
});
/** ext4_fc_dentry_info; the name follows. */
export const nameLayout = struct('fast commit name', 8, { directory: u32le(0x0), inode: u32le(0x4) });
/** ext4_fc_inode; the inode's record follows. */
export const inodeRecordLayout = struct('fast commit inode', 4, { inode: u32le(0x0) });

const NAME_MAX_BYTES = 255;

/** What was done, in the order in which it is to be done again. */
export type FastCommitRecord =
	| {
			/** The blocks of a file have a new place; `block` 0: they read as zeros. */
			readonly kind: 'map';
			readonly inode: number;
			readonly fileBlock: number;
			readonly blockCount: number;
			readonly block: number;
	  }
	| {
			readonly kind: 'link' | 'unlink';
			readonly directory: number;
			readonly inode: number;
			readonly name: Buffer;
	  }
	| {
			/** The inode has a new record, but for its block map. */
			readonly kind: 'inode';
			readonly inode: number;
			readonly record: Buffer;
	  };

/** Whether a value of this length can have this tag (ext4_fc_value_len_isvalid). */
export function isLengthRight(tag: number, lengthBytes: number, inodeSizeBytes: number): boolean {
	switch (tag) {
		case TAG_ADD_RANGE:
			return lengthBytes === addRangeLayout.sizeBytes;
		case TAG_DELETE_RANGE:
			return lengthBytes === deleteRangeLayout.sizeBytes;
		case TAG_CREATE:
		case TAG_LINK:
		case TAG_UNLINK: {
			const nameBytes = lengthBytes - nameLayout.sizeBytes;
			return nameBytes >= 1 && nameBytes <= NAME_MAX_BYTES;
		}
		case TAG_INODE: {
			const recordBytes = lengthBytes - inodeRecordLayout.sizeBytes;
			return recordBytes >= BASE_INODE_BYTES && recordBytes <= inodeSizeBytes;
		}
		case TAG_PAD:
			return true;
		case TAG_TAIL:
			return lengthBytes >= tailLayout.sizeBytes;
		case TAG_HEAD:
			return lengthBytes === headLayout.sizeBytes;
		default:
			return false;
	}
}

/** Decodes the value of a record whose length is right; undefined where it does nothing by itself. */
export function decodeRecord(tag: number, value: Buffer): FastCommitRecord | undefined {
	switch (tag) {
		case TAG_ADD_RANGE:
			return { kind: 'map', inode: addRangeLayout.decode(value).inode, ...decodeExtent(value) };
		case TAG_DELETE_RANGE:
			return { kind: 'map', ...deleteRangeLayout.decode(value), block: 0 };
		case TAG_CREATE:
		case TAG_LINK:
		case TAG_UNLINK: {
			const name = value.subarray(nameLayout.sizeBytes);
			return { kind: tag === TAG_UNLINK ? 'unlink' : 'link', ...nameLayout.decode(value), name };
		}
		case TAG_INODE: {
			const { inode } = inodeRecordLayout.decode(value);
			return { kind: 'inode', inode, record: value.subarray(inodeRecordLayout.sizeBytes) };
		}
		default:
			return undefined;
	}
}

function decodeExtent(value: Buffer): { fileBlock: number; blockCount: number; block: number } {
	const { fileBlock, length, startHigh, startLow } = extentLayout.decode(value, ADDED_EXTENT_AT);
	const isUnwritten = length > MAX_WRITTEN_EXTENT_BLOCKS;
	return {
		fileBlock,
		blockCount: isUnwritten ? length - MAX_WRITTEN_EXTENT_BLOCKS : length,
		block: isUnwritten ? 0 : startHigh * 2 ** 32 + startLow,
	};
}
