import { crc32c } from '../bytes/crc32c.ts';
import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import type { FileContent } from './file-content.ts';
import type { GroupDescriptors } from './group-descriptors.ts';
import { type Inode, isRegular, readInode } from './inode.ts';
import { FLAG_EA_INODE } from './layout.ts';
import type { XattrEntry } from './xattr.ts';

/**
 * Reads an attribute's value that fills an inode of its own (feature `ea_inode`; fs/ext4/xattr.c, ext4_xattr_inode_get).
 * Several inodes may share it, so its times are other numbers: atime is the checksum of the value. In Lustre's older
 * form it belongs to one inode, whose number is in its mtime, and has no checksum.
 */
export function readXattrInode(
	{ blocks, groups, content }: { blocks: BlockReader; groups: GroupDescriptors; content: FileContent },
	owner: Inode,
	entry: XattrEntry,
): Buffer {
	const fail = (what: string) =>
		corrupt('xattr-inode', `inode ${owner.number}: an attribute's value in inode ${entry.valueInode}: ${what}`);
	const inode = readInode(blocks, groups, entry.valueInode);
	if (!(inode.flags & FLAG_EA_INODE) || !isRegular(inode) || inode.linkCount === 0) throw fail('is no attribute value');
	if (inode.sizeBytes !== entry.valueSizeBytes) {
		throw fail(`has ${inode.sizeBytes} bytes, expected ${entry.valueSizeBytes}`);
	}
	const value = Buffer.alloc(entry.valueSizeBytes);
	content.read(inode, 0, value);
	const storedHash = inode.atimeSec >>> 0;
	const isLustre =
		entry.hash !== storedHash && inode.mtimeSec >>> 0 === owner.number && inode.generation === owner.generation;
	if (isLustre) return value;
	const hash = crc32c(blocks.superblock.checksumSeed, value);
	if (hash !== storedHash) throw fail('its checksum does not fit its content');
	// Kernels with signed and with unsigned char have hashed names differently; both are right.
	const isRight = [false, true].some((isSigned) => entryHash(entry.name, hash, isSigned) === entry.hash);
	if (!isRight) throw fail("the attribute's hash does not fit its name and value");
	return value;
}

/** e_hash: over the name, then the value's hash (ext4_xattr_hash_entry, and its variant for signed characters). */
function entryHash(name: Uint8Array, valueHash: number, isSigned: boolean): number {
	let hash = 0;
	for (const byte of name) hash = (hash << 5) ^ (hash >>> 27) ^ (isSigned ? (byte << 24) >> 24 : byte);
	return ((hash << 16) ^ (hash >>> 16) ^ valueHash) >>> 0;
}
