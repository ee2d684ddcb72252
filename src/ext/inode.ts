import { crc32c, crc32cOfU32le, crc32cOfZeros } from '../bytes/crc32c.ts';
import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import type { GroupDescriptors } from './group-descriptors.ts';
import * as layout from './layout.ts';
import type { Superblock } from './superblock.ts';

const { at } = layout.inodeLayout;

/**
 * An inode. What is rarely asked for, or once in a listing, is read from the record when it is asked for. Times are seconds
 * since 1970, from -2^31 to 2^34 - 2^31 - 1, and nanoseconds.
 */
export class Inode {
	readonly number: number;
	/** i_mode: file type and permission bits. */
	readonly mode: number;
	readonly linkCount: number;
	readonly flags: number;
	readonly sizeBytes: number;
	/**
	 * The whole record: i_block is at 0x28; xattrs start at `xattrsAt`, which is the record's end where it has none. It is
	 * a view of the metadata cache, never to be changed; who keeps many inodes for long keeps many lines of the cache.
	 */
	readonly record: Buffer;
	readonly #superblock: Superblock;
	/** Where the record's fields end: 128 + i_extra_isize. */
	readonly #extraEnd: number;

	/**
	 * `sizeBytes` is given where another size is shown than the record has.
	 * Errors: `corrupt` for a wrong checksum, a deleted or senseless inode.
	 */
	constructor(superblock: Superblock, number: number, record: Buffer, sizeBytes?: number) {
		this.number = number;
		this.record = record;
		this.#superblock = superblock;
		this.#extraEnd = endOfFields(number, record);
		if (superblock.features.has('metadata_csum') && !superblock.isHurd) checkChecksum(superblock, number, record);
		this.mode = record.readUInt16LE(at.mode);
		this.linkCount = record.readUInt16LE(at.linkCount);
		const type = this.mode & layout.S_IFMT;
		if (this.mode === 0 && this.linkCount === 0)
			throw corrupt('deleted-inode', `inode ${number}: is deleted, or was never used`);
		if (!isFileType(type))
			throw corrupt('inode-mode', `inode ${number}: its mode is 0o${this.mode.toString(8)}, of no file type`);
		this.flags = record.readUInt32LE(at.flags);
		this.sizeBytes = sizeBytes ?? decodeSize(superblock, number, type, record);
	}

	get uid(): number {
		return this.record.readUInt16LE(at.uidLow) + this.record.readUInt16LE(at.uidHigh) * 0x10000;
	}

	get gid(): number {
		return this.record.readUInt16LE(at.gidLow) + this.record.readUInt16LE(at.gidHigh) * 0x10000;
	}

	/** Allocated space in units of 512 bytes, as stat(2) tells it. */
	get blocks512(): number {
		return decodeBlocks512(this.#superblock, this.mode & layout.S_IFMT, this.flags, this.record);
	}

	get atimeSec(): number {
		return seconds(this.record.readInt32LE(at.atimeSec), this.#extra(at.atimeExtra));
	}

	get atimeNsec(): number {
		return this.#extra(at.atimeExtra) >>> 2;
	}

	get mtimeSec(): number {
		return seconds(this.record.readInt32LE(at.mtimeSec), this.#extra(at.mtimeExtra));
	}

	get mtimeNsec(): number {
		return this.#extra(at.mtimeExtra) >>> 2;
	}

	get ctimeSec(): number {
		return seconds(this.record.readInt32LE(at.ctimeSec), this.#extra(at.ctimeExtra));
	}

	get ctimeNsec(): number {
		return this.#extra(at.ctimeExtra) >>> 2;
	}

	/** When the inode was made; undefined in inodes of 128 bytes. */
	get birthtime(): { readonly sec: number; readonly nsec: number } | undefined {
		if (at.birthtimeSec + 4 > this.xattrsAt) return undefined;
		const word = this.#extra(at.birthtimeExtra);
		return { sec: seconds(this.record.readInt32LE(at.birthtimeSec), word), nsec: word >>> 2 };
	}

	/** Of character and block devices, else 0. */
	get deviceMajor(): number {
		return this.#isDevice ? decodeDevice(this.record).major : 0;
	}

	get deviceMinor(): number {
		return this.#isDevice ? decodeDevice(this.record).minor : 0;
	}

	get #isDevice(): boolean {
		const type = this.mode & layout.S_IFMT;
		return type === layout.S_IFCHR || type === layout.S_IFBLK;
	}

	get generation(): number {
		return this.record.readUInt32LE(at.generation);
	}

	/** Undefined where the volume knows no projects, or the record has no such field. */
	get projectId(): number | undefined {
		if (!this.#superblock.features.has('project')) return undefined;
		return at.projectId + 4 <= this.#extraEnd ? this.record.readUInt32LE(at.projectId) : undefined;
	}

	/** The flags that programs see, as `lsattr` shows them. */
	get visibleFlags(): number {
		const inherited = isRegular(this) ? layout.INODE_FLAGS.projinherit : 0;
		return this.flags & layout.VISIBLE_FLAGS & ~inherited;
	}

	/** 0 where it has none. */
	get xattrBlock(): number {
		const high = this.#superblock.isHurd ? 0 : this.record.readUInt16LE(at.xattrBlockHigh);
		return this.record.readUInt32LE(at.xattrBlockLow) + high * 2 ** 32;
	}

	/** Kernels leave the rest of the record alone where i_extra_isize is 0: no xattrs there. */
	get xattrsAt(): number {
		return this.#extraEnd > layout.BASE_INODE_BYTES ? this.#extraEnd : this.record.length;
	}

	/**
	 * A 32-bit field of the extra part that belongs to a time, or 0 where this inode's extra part ends before it. Where
	 * i_extra_isize is 0, kernels take all of them to be there (fs/ext4/inode.c, __ext4_iget).
	 */
	#extra(fieldAt: number): number {
		return fieldAt + 4 <= this.xattrsAt ? this.record.readUInt32LE(fieldAt) : 0;
	}

	/** The same inode, for who keeps it: with a record of its own, not a view of the cache. */
	copy(): Inode {
		return new Inode(this.#superblock, this.number, Buffer.from(this.record), this.sizeBytes);
	}

	withSize(sizeBytes: number): Inode {
		return new Inode(this.#superblock, this.number, this.record, sizeBytes);
	}
}

/** i_block: extent tree root, block map, inline data or the target of a short symlink. */
export function blockField(inode: Inode): Buffer {
	return inode.record.subarray(BLOCK_AT, BLOCK_AT + BLOCK_FIELD_BYTES);
}

export const BLOCK_AT = at.block;
export const BLOCK_FIELD_BYTES = layout.inodeLayout.fields.block.size;

export const isDirectory = (inode: Inode) => (inode.mode & layout.S_IFMT) === layout.S_IFDIR;
export const isEncryptedLink = (inode: Inode) =>
	(inode.flags & layout.FLAG_ENCRYPT) !== 0 && (inode.mode & layout.S_IFMT) === layout.S_IFLNK;
export const isRegular = (inode: Inode) => (inode.mode & layout.S_IFMT) === layout.S_IFREG;

/**
 * Reads any inode, the reserved ones too.
 * Errors: `corrupt` for a number that the volume does not have, a wrong checksum, a deleted or senseless inode.
 */
export function readInode(blocks: BlockReader, groups: GroupDescriptors, number: number): Inode {
	return new Inode(blocks.superblock, number, readInodeRecord(blocks, groups, number).record);
}

/** The bytes of an inode, not checked, and where on the device they are: never to be changed. */
export function readInodeRecord(
	blocks: BlockReader,
	groups: GroupDescriptors,
	number: number,
): { readonly record: Buffer; readonly byteOffset: number } {
	const byteOffset = inodeByteOffset(blocks, groups, number);
	return { record: blocks.metadataPart(byteOffset, blocks.superblock.inodeSizeBytes), byteOffset };
}

function inodeByteOffset({ superblock }: BlockReader, groups: GroupDescriptors, number: number): number {
	if (!(number >= 1 && number <= superblock.inodeCount)) {
		throw corrupt('inode-number', `inode ${number}: the volume has inodes 1 to ${superblock.inodeCount}`);
	}
	const group = Math.floor((number - 1) / superblock.inodesPerGroup);
	const indexInGroup = (number - 1) % superblock.inodesPerGroup;
	return groups.get(group).inodeTable * superblock.blockSizeBytes + indexInGroup * superblock.inodeSizeBytes;
}

/** A hint: these inodes will be read soon, so their places in the tables are asked for all at once. */
export function announceInodes(blocks: BlockReader, groups: GroupDescriptors, numbers: readonly number[]): void {
	const { blockSizeBytes, inodeSizeBytes } = blocks.superblock;
	const places: number[] = [];
	let lastBlock = -1;
	// Sorted: so the groups' descriptors are read in their order, too.
	for (const number of Uint32Array.from(numbers).sort()) {
		const block = Math.floor(((number - 1) * inodeSizeBytes) / blockSizeBytes);
		if (block === lastBlock) continue;
		lastBlock = block;
		try {
			places.push(inodeByteOffset(blocks, groups, number));
		} catch {
			// Who reads this one is told what is wrong.
		}
	}
	blocks.announceMetadata(places);
}

/** Where the record's fields end: 128 + i_extra_isize. */
function endOfFields(number: number, record: Buffer): number {
	if (record.length === layout.BASE_INODE_BYTES) return layout.BASE_INODE_BYTES;
	const extraSizeBytes = record.readUInt16LE(at.extraSizeBytes);
	const end = layout.BASE_INODE_BYTES + extraSizeBytes;
	if (end > record.length || extraSizeBytes % 4 !== 0) {
		throw corrupt(
			'inode-extra-size',
			`inode ${number}: i_extra_isize is ${extraSizeBytes} in a record of ${record.length}`,
		);
	}
	return end;
}

/** The two low bits of the extra word count the 2^32-second epochs after the first; the other 30 are nanoseconds. */
function seconds(base: number, extraWord: number): number {
	return base + (extraWord & 3) * 2 ** 32;
}

function decodeSize(superblock: Superblock, number: number, type: number, record: Buffer): number {
	const low = record.readUInt32LE(at.sizeLow);
	// In other types than regular files the high word was once the directory ACL.
	if (type !== layout.S_IFREG && !superblock.features.has('large_dir')) return low;
	const high = record.readUInt32LE(at.sizeHigh);
	const size = high * 2 ** 32 + low;
	if (!Number.isSafeInteger(size)) {
		throw corrupt(
			'inode-size',
			`inode ${number}: its size is 0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`,
		);
	}
	return size;
}

/** As fs/ext4/inode.c, ext4_inode_blocks and ext4_file_getattr. */
function decodeBlocks512(superblock: Superblock, type: number, flags: number, record: Buffer): number {
	let blocks = record.readUInt32LE(at.blocksLow);
	if (superblock.features.has('huge_file')) {
		blocks += record.readUInt16LE(at.blocksHigh) * 2 ** 32;
		if (flags & layout.FLAG_HUGE_FILE) blocks *= superblock.blockSizeBytes / 512;
	}
	// A file inside its inode has no blocks; the kernel shows some, lest tar and rsync take it for one big hole.
	if (flags & layout.FLAG_INLINE_DATA && type === layout.S_IFREG)
		blocks += Math.ceil(record.readUInt32LE(at.sizeLow) / 512);
	return blocks;
}

/** The old form of 16 bits in the first word of i_block, or else the new one of 32 bits in the second. */
function decodeDevice(record: Buffer): { major: number; minor: number } {
	const old = record.readUInt32LE(BLOCK_AT);
	if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
	const device = record.readUInt32LE(BLOCK_AT + 4);
	return { major: (device >>> 8) & 0xfff, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}

function isFileType(type: number): boolean {
	return (
		type === layout.S_IFREG ||
		type === layout.S_IFDIR ||
		type === layout.S_IFLNK ||
		type === layout.S_IFCHR ||
		type === layout.S_IFBLK ||
		type === layout.S_IFIFO ||
		type === layout.S_IFSOCK
	);
}

/** Where the checksums of what belongs to an inode start from. */
export function inodeChecksumSeed(superblock: Superblock, number: number, generation: number): number {
	return crc32cOfU32le(crc32cOfU32le(superblock.checksumSeed, number), generation);
}

function checkChecksum(superblock: Superblock, number: number, record: Buffer): void {
	const hasHigh = hasHighChecksum(record);
	const stored = record.readUInt16LE(at.checksumLow) + (hasHigh ? record.readUInt16LE(at.checksumHigh) * 0x10000 : 0);
	const computed = inodeChecksum(superblock, number, record);
	if ((hasHigh ? computed : computed & 0xffff) !== stored) {
		throw corrupt('checksum', `inode ${number}: its checksum does not fit its content`);
	}
}

/** Makes the checksum in an inode's record right. */
export function sealInode(superblock: Superblock, number: number, record: Buffer): void {
	const computed = inodeChecksum(superblock, number, record);
	record.writeUInt16LE(computed & 0xffff, at.checksumLow);
	if (hasHighChecksum(record)) record.writeUInt16LE(computed >>> 16, at.checksumHigh);
}

const hasHighChecksum = (record: Buffer) =>
	record.length > layout.BASE_INODE_BYTES && record.readUInt16LE(at.extraSizeBytes) >= 4;

/** All 32 bits, over the record with its checksum fields as zeros (fs/ext4/inode.c, ext4_inode_csum). */
export function inodeChecksum(superblock: Superblock, number: number, record: Buffer): number {
	const seed = inodeChecksumSeed(superblock, number, record.readUInt32LE(at.generation));
	let crc = crc32cOfZeros(crc32c(seed, record, 0, at.checksumLow), 2);
	if (!hasHighChecksum(record)) return crc32c(crc, record, at.checksumLow + 2);
	crc = crc32cOfZeros(crc32c(crc, record, at.checksumLow + 2, at.checksumHigh), 2);
	return crc32c(crc, record, at.checksumHigh + 2);
}
