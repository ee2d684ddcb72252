import { crc32c, crc32cOfU32le, crc32cOfZeros } from '../bytes/crc32c.ts';
import { corrupt } from '../errors.ts';
import { aclToWire } from './acl.ts';
import type { BlockReader } from './block-reader.ts';
import type { Inode } from './inode.ts';
import {
	BASE_INODE_BYTES,
	XATTR_BLOCK_CHECKSUM_AT,
	XATTR_MAGIC,
	xattrBlockHeaderLayout,
	xattrEntryLayout,
} from './layout.ts';

/** An attribute as it is stored: the name without its prefix, which is a number. */
export interface XattrEntry {
	readonly nameIndex: number;
	readonly name: Buffer;
	readonly valueSizeBytes: number;
	/** The value is the content of this inode, where it is not 0 (feature `ea_inode`). */
	readonly valueInode: number;
	/** Where the value is not in an inode. */
	readonly value: Buffer;
	readonly hash: number;
}

const INDEX_ACL_ACCESS = 2;
const INDEX_ACL_DEFAULT = 3;
export const INDEX_SYSTEM = 7;

/** What the kernel shows, by e_name_index; other indexes (inline data, encryption context, Lustre) it hides. */
const PREFIXES: ReadonlyMap<number, string> = new Map([
	[1, 'user.'],
	[INDEX_ACL_ACCESS, 'system.posix_acl_access'],
	[INDEX_ACL_DEFAULT, 'system.posix_acl_default'],
	[4, 'trusted.'],
	[6, 'security.'],
	[10, 'gnu.'],
]);

/** The kernel's own limit for a value that it hands out. */
const MAX_VALUE_BYTES = 65536;
const ENTRY_BYTES = xattrEntryLayout.sizeBytes;

/** Reads the value of an attribute that is kept in an inode of its own. */
export type ValueInodeReader = (owner: Inode, entry: XattrEntry) => Buffer;

/** Full names of the attributes that listxattr(2) shows: those in the inode, then those in its block. */
export function listXattrs(blocks: BlockReader, inode: Inode): Buffer[] {
	return allEntries(blocks, inode)
		.filter((entry) => PREFIXES.has(entry.nameIndex))
		.map(fullName);
}

/** The value as getxattr(2) gives it (ACLs in the form that programs see), or undefined. */
export function getXattr(
	blocks: BlockReader,
	inode: Inode,
	name: Uint8Array,
	readValueInode: ValueInodeReader,
): Buffer | undefined {
	const entry = allEntries(blocks, inode).find(
		(candidate) => PREFIXES.has(candidate.nameIndex) && fullName(candidate).equals(name),
	);
	if (!entry) return undefined;
	const value = entry.valueInode === 0 ? Buffer.from(entry.value) : readValueInode(inode, entry);
	const isAcl = entry.nameIndex === INDEX_ACL_ACCESS || entry.nameIndex === INDEX_ACL_DEFAULT;
	return isAcl ? aclToWire(value, inode.number) : value;
}

/** With its prefix; one of those that the kernel hides gets its number as the prefix. */
export function fullName(entry: XattrEntry): Buffer {
	const prefix = Buffer.from(PREFIXES.get(entry.nameIndex) ?? `#${entry.nameIndex}.`);
	const isWhole = entry.nameIndex === INDEX_ACL_ACCESS || entry.nameIndex === INDEX_ACL_DEFAULT;
	return isWhole ? prefix : Buffer.concat([prefix, entry.name]);
}

function allEntries(blocks: BlockReader, inode: Inode): XattrEntry[] {
	return [...inInodeEntries(inode), ...blockEntries(blocks, inode)];
}

/** The attributes after the inode's last field. */
export function inInodeEntries(inode: Inode): XattrEntry[] {
	const { record, xattrsAt } = inode;
	if (record.length === BASE_INODE_BYTES || xattrsAt + 8 > record.length) return [];
	if (record.readUInt32LE(xattrsAt) !== XATTR_MAGIC) return [];
	const area = record.subarray(xattrsAt + 4);
	return decodeEntries(area, 0, `inode ${inode.number}: xattrs in the inode`);
}

/** The attributes in the inode's block of them. */
export function blockEntries(blocks: BlockReader, inode: Inode): XattrEntry[] {
	const { xattrBlock } = inode;
	if (xattrBlock === 0) return [];
	const bytes = blocks.metadata(xattrBlock, 'xattr block', inode.number);
	const header = xattrBlockHeaderLayout.decode(bytes);
	const where = `inode ${inode.number}: xattr block ${xattrBlock}`;
	if (header.magic !== XATTR_MAGIC || header.blockCount !== 1) {
		throw corrupt(
			'xattr-header',
			`${where}: magic 0x${header.magic.toString(16)} and ${header.blockCount} blocks, expected 0xea020000 and 1`,
		);
	}
	if (blocks.superblock.features.has('metadata_csum')) {
		// Inodes with the same attributes share a block, so its checksum knows the block only.
		blocks.verifyOnce(
			xattrBlock,
			0,
			'xattr block',
			() => xattrBlockChecksum(blocks, xattrBlock, bytes) === header.checksum,
		);
	}
	return decodeEntries(bytes, xattrBlockHeaderLayout.sizeBytes, where);
}

/** h_checksum as it should be (fs/ext4/xattr.c, ext4_xattr_block_csum). */
export function xattrBlockChecksum(blocks: BlockReader, block: number, bytes: Buffer): number {
	const seed = crc32cOfU32le(crc32cOfU32le(blocks.superblock.checksumSeed, block >>> 0), Math.floor(block / 2 ** 32));
	const crc = crc32cOfZeros(crc32c(seed, bytes, 0, XATTR_BLOCK_CHECKSUM_AT), 4);
	return crc32c(crc, bytes, XATTR_BLOCK_CHECKSUM_AT + 4);
}

/** Entries grow from `start` up to four zero bytes; value offsets count from the start of `area`, and lie behind those. */
function decodeEntries(area: Buffer, start: number, where: string): XattrEntry[] {
	const fail = (what: string) => corrupt('xattr', `${where}: ${what}`);
	const { at } = xattrEntryLayout;
	let end = start;
	while (end + 4 <= area.length && area.readUInt32LE(end) !== 0) {
		if (end + ENTRY_BYTES > area.length) throw fail(`the entry at ${end} is cut off`);
		end += ENTRY_BYTES + roundUp4(area[end + at.nameLength]!);
	}
	if (end + 4 > area.length) throw fail('its entries run past its end');

	const entries: XattrEntry[] = [];
	for (let entry = start; entry < end; entry += ENTRY_BYTES + roundUp4(area[entry + at.nameLength]!)) {
		const raw = xattrEntryLayout.decode(area, entry);
		const name = area.subarray(entry + ENTRY_BYTES, entry + ENTRY_BYTES + raw.nameLength);
		if (name.includes(0)) throw fail(`the name of the entry at ${entry} has a NUL in it`);
		const isHere = raw.valueInode === 0;
		if (raw.valueSizeBytes > (isHere ? area.length : MAX_VALUE_BYTES)) {
			throw fail(`the value of the entry at ${entry} has ${raw.valueSizeBytes} bytes`);
		}
		if (isHere && raw.valueSizeBytes > 0 && (raw.valueAt < end + 4 || raw.valueAt + raw.valueSizeBytes > area.length)) {
			throw fail(`the value of the entry at ${entry} is at ${raw.valueAt}, outside ${end + 4} to ${area.length}`);
		}
		const value = isHere ? area.subarray(raw.valueAt, raw.valueAt + raw.valueSizeBytes) : area.subarray(0, 0);
		entries.push({
			nameIndex: raw.nameIndex,
			name,
			valueSizeBytes: raw.valueSizeBytes,
			valueInode: raw.valueInode,
			value,
			hash: raw.hash,
		});
	}
	return entries;
}

const roundUp4 = (length: number) => (length + 3) & ~3;
