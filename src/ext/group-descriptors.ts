import { crc32c, crc32cOfU32le, crc32cOfZeros } from '../bytes/crc32c.ts';
import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import { crc16 } from './crc16.ts';
import {
	GROUP_DESCRIPTOR_CHECKSUM_AT,
	groupDescriptorLayout,
	SHORT_DESCRIPTOR_BYTES,
	SUPERBLOCK_BYTE_OFFSET,
} from './layout.ts';
import type { Superblock } from './superblock.ts';

export interface GroupDescriptor {
	readonly group: number;
	readonly blockBitmap: number;
	readonly inodeBitmap: number;
	readonly inodeTable: number;
	readonly freeClusters: number;
	readonly freeInodes: number;
	readonly flags: number;
	/** Of 16 bits where descriptors have 32 bytes. */
	readonly blockBitmapChecksum: number;
}

const MAX_CACHED = 4096;

/** The descriptors of the block groups, each read and checked when it is first asked for. */
export class GroupDescriptors {
	readonly #blocks: BlockReader;
	readonly #cache = new Map<number, GroupDescriptor>();

	constructor(blocks: BlockReader) {
		this.#blocks = blocks;
	}

	/** Errors: `corrupt` for a wrong checksum, or for tables outside the volume. `group` is below `groupCount`. */
	get(group: number): GroupDescriptor {
		let descriptor = this.#cache.get(group);
		if (!descriptor) {
			descriptor = this.#read(group);
			if (this.#cache.size >= MAX_CACHED) this.#cache.clear();
			this.#cache.set(group, descriptor);
		}
		return descriptor;
	}

	#read(group: number): GroupDescriptor {
		const { superblock } = this.#blocks;
		const { descriptorSizeBytes } = superblock;
		const { block, byteInBlock } = descriptorPlace(superblock, group);
		const descriptors = this.#blocks.metadata(block, 'group descriptors', 0);
		const bytes = descriptors.subarray(byteInBlock, byteInBlock + descriptorSizeBytes);
		checkChecksum(superblock, group, bytes);

		const isLong = descriptorSizeBytes > SHORT_DESCRIPTOR_BYTES;
		const raw = groupDescriptorLayout.decode(isLong ? bytes : Buffer.concat([bytes], groupDescriptorLayout.sizeBytes));
		const descriptor = {
			group,
			blockBitmap: raw.blockBitmapLow + raw.blockBitmapHigh * 2 ** 32,
			inodeBitmap: raw.inodeBitmapLow + raw.inodeBitmapHigh * 2 ** 32,
			inodeTable: raw.inodeTableLow + raw.inodeTableHigh * 2 ** 32,
			freeClusters: raw.freeClustersLow + raw.freeClustersHigh * 2 ** 16,
			freeInodes: raw.freeInodesLow + raw.freeInodesHigh * 2 ** 16,
			flags: raw.flags,
			blockBitmapChecksum: raw.blockBitmapChecksumLow + raw.blockBitmapChecksumHigh * 2 ** 16,
		};
		this.#blocks.check(descriptor.inodeTable, superblock.inodeTableBlocks, `inode table of group ${group}`, 0);
		return descriptor;
	}
}

/** Where a group's descriptor is. */
export function descriptorPlace(superblock: Superblock, group: number): { block: number; byteInBlock: number } {
	const { descriptorSizeBytes, descriptorsPerBlock } = superblock;
	return {
		block: descriptorBlock(superblock, Math.floor(group / descriptorsPerBlock)),
		byteInBlock: (group % descriptorsPerBlock) * descriptorSizeBytes,
	};
}

/**
 * The block that holds the `index`-th block of descriptors: after the superblock, or, with `meta_bg`, in the first
 * group that it describes (fs/ext4/super.c, descriptor_loc).
 */
function descriptorBlock(superblock: Superblock, index: number): number {
	const { blockSizeBytes, firstDataBlock } = superblock;
	if (index < superblock.firstMetaGroup) return Math.floor(SUPERBLOCK_BYTE_OFFSET / blockSizeBytes) + 1 + index;
	const group = index * superblock.descriptorsPerBlock;
	// With blocks of 1 KiB the superblock is in block 1, also where block 0 counts as the first of the group.
	const skipped = blockSizeBytes === 1024 && index === 0 && firstDataBlock === 0 ? 1 : 0;
	return firstBlockOfGroup(superblock, group) + (hasSuperblock(superblock, group) ? 1 : 0) + skipped;
}

/** The number of the block with which a group begins: its copy of the superblock, where it has one. */
export function firstBlockOfGroup(superblock: Superblock, group: number): number {
	return superblock.firstDataBlock + group * superblock.blocksPerGroup;
}

/** Whether the group starts with a copy of the superblock (fs/ext4/balloc.c, ext4_bg_has_super). */
function hasSuperblock(superblock: Superblock, group: number): boolean {
	if (group === 0) return true;
	if (superblock.features.has('sparse_super2')) return superblock.backupGroups.includes(group);
	if (group === 1 || !superblock.features.has('sparse_super')) return true;
	return [3, 5, 7].some((base) => isPower(group, base));
}

function isPower(value: number, base: number): boolean {
	let power = base;
	while (power < value) power *= base;
	return power === value;
}

/** How many blocks of descriptors the group has for itself (fs/ext4/balloc.c, ext4_bg_num_gdb). */
function descriptorBlocksInGroup(superblock: Superblock, group: number): number {
	const { descriptorsPerBlock, firstMetaGroup } = superblock;
	const index = Math.floor(group / descriptorsPerBlock);
	if (!superblock.features.has('meta_bg') || index < firstMetaGroup) {
		return hasSuperblock(superblock, group) ? firstMetaGroup : 0;
	}
	const inMetaGroup = group % descriptorsPerBlock;
	return inMetaGroup === 0 || inMetaGroup === 1 || inMetaGroup === descriptorsPerBlock - 1 ? 1 : 0;
}

/** The blocks at the start of a group: superblock copy, descriptors, and what is kept for more descriptors. */
export function headBlocksOfGroup(superblock: Superblock, group: number): number {
	const kept = hasSuperblock(superblock, group) ? 1 + superblock.reservedDescriptorBlocks : 0;
	return kept + descriptorBlocksInGroup(superblock, group);
}

function checkChecksum(superblock: Superblock, group: number, bytes: Buffer): void {
	const stored = bytes.readUInt16LE(GROUP_DESCRIPTOR_CHECKSUM_AT);
	const computed = descriptorChecksum(superblock, group, bytes);
	if (computed !== undefined && computed !== stored) {
		throw corrupt('checksum', `group ${group}: the checksum of its descriptor does not fit its content`);
	}
}

/** bg_checksum as it should be (fs/ext4/super.c, ext4_group_desc_csum); undefined where the volume has none. */
export function descriptorChecksum(superblock: Superblock, group: number, bytes: Buffer): number | undefined {
	const after = GROUP_DESCRIPTOR_CHECKSUM_AT + 2;
	if (superblock.features.has('metadata_csum')) {
		let crc = crc32cOfU32le(superblock.checksumSeed, group);
		crc = crc32c(crc, bytes, 0, GROUP_DESCRIPTOR_CHECKSUM_AT);
		return crc32c(crc32cOfZeros(crc, 2), bytes, after) & 0xffff;
	}
	if (superblock.features.has('uninit_bg')) {
		const number = Buffer.alloc(4);
		number.writeUInt32LE(group);
		let crc = crc16(0xffff, superblock.uuidBytes);
		crc = crc16(crc16(crc, number), bytes.subarray(0, GROUP_DESCRIPTOR_CHECKSUM_AT));
		return superblock.features.has('64bit') ? crc16(crc, bytes.subarray(after)) : crc;
	}
	return undefined;
}
