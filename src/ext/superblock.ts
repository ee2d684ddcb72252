import { crc32c } from '../bytes/crc32c.ts';
import { corrupt, unsupported } from '../errors.ts';
import { ENCODING_UTF8_12_1 } from './casefold.ts';
import { checkReadable, type FeatureName, featureNames } from './features.ts';
import {
	BASE_INODE_BYTES,
	CHECKSUM_TYPE_CRC32C,
	CREATOR_HURD,
	FLAG_SIGNED_HASH,
	FLAG_UNSIGNED_HASH,
	SHORT_DESCRIPTOR_BYTES,
	SUPERBLOCK_CHECKSUM_AT,
	SUPERBLOCK_MAGIC,
	superblockLayout,
} from './layout.ts';

type RawSuperblock = ReturnType<typeof superblockLayout.decode>;

const MAX_LOG_GROUPS_PER_FLEX = 31;
const HASH_TEA_UNSIGNED = 5; // DX_HASH_TEA_UNSIGNED
const FIRST_INODE_OF_OLD = 11; // EXT4_GOOD_OLD_FIRST_INO

/** The superblock, decoded and checked: every later computation may rely on these values. */
export interface Superblock {
	readonly features: ReadonlySet<FeatureName>;
	readonly uuidBytes: Uint8Array;
	readonly isHurd: boolean;
	/** STATE_… */
	readonly state: number;

	readonly blockSizeBytes: number;
	readonly blockCount: number;
	readonly firstDataBlock: number;
	readonly blocksPerCluster: number;
	readonly reservedBlocks: number;
	/** This and `freeInodes` may be of some time ago where the volume was neither frozen nor cleanly unmounted. */
	readonly freeBlocks: number;
	readonly overheadClusters: number;

	readonly groupCount: number;
	readonly blocksPerGroup: number;
	readonly clustersPerGroup: number;
	readonly descriptorSizeBytes: number;
	readonly descriptorsPerBlock: number;
	readonly firstMetaGroup: number;
	readonly reservedDescriptorBlocks: number;
	readonly backupGroups: readonly [number, number];

	readonly inodeCount: number;
	readonly freeInodes: number;
	readonly inodesPerGroup: number;
	readonly inodeSizeBytes: number;
	readonly inodeTableBlocks: number;
	readonly firstInode: number;

	/** Where every metadata checksum starts from. */
	readonly checksumSeed: number;
	readonly hashSeed: Uint8Array;
	readonly hashVersion: number;
	/** Whether bytes over 127 counted as positive where the directories were hashed; once, nobody wrote that down. */
	readonly hashIsUnsigned: boolean;
	readonly hashSignIsKnown: boolean;

	/** 0 where the journal is on another device. */
	readonly journalInode: number;
	/** Feature `mmp`. */
	readonly mmpBlock: number;
	/** Of the device with the journal, where it is on another one. */
	readonly journalUuid: Uint8Array;
}

/**
 * Decodes the 1024 bytes at byte 1024 of a volume of `deviceSizeBytes`.
 * Errors: `unsupported` for what is no ext file system or an unknown incompatible feature;
 * `corrupt` where a value contradicts the format or the others.
 */
export function decodeSuperblock(bytes: Buffer, deviceSizeBytes: number): Superblock {
	const raw = superblockLayout.decode(bytes);
	if (raw.magic !== SUPERBLOCK_MAGIC) {
		const found = `0x${raw.magic.toString(16).padStart(4, '0')}`;
		throw unsupported(
			'not-ext',
			`no ext2, ext3 or ext4 file system: its magic number is ${found}, expected 0xef53 at byte 1080`,
		);
	}
	// In revision 0, too, where they should be zeros; later ones than 1 are read as 1.
	checkReadable(raw.incompat);
	const features = featureNames(raw);
	if (features.has('metadata_csum')) checkChecksum(raw, bytes);
	checkCombinations(raw, features);
	if (features.has('casefold') && raw.encoding !== ENCODING_UTF8_12_1) {
		throw unsupported('encoding', `superblock: names have encoding ${raw.encoding}, this version knows 1 (UTF-8)`);
	}

	const geometry = decodeGeometry(raw, features, deviceSizeBytes);
	return {
		...geometry,
		...decodeDescriptorGeometry(raw, features, geometry),
		...decodeInodeGeometry(raw, geometry),
		features,
		uuidBytes: raw.uuid,
		state: raw.state,
		isHurd: raw.creatorOs === CREATOR_HURD,
		checksumSeed: features.has('metadata_csum_seed') ? raw.checksumSeed : crc32c(0xffffffff, raw.uuid),
		hashSeed: raw.hashSeed,
		hashVersion: raw.defaultHashVersion,
		hashIsUnsigned: (raw.flags & FLAG_UNSIGNED_HASH) !== 0,
		hashSignIsKnown: (raw.flags & (FLAG_SIGNED_HASH | FLAG_UNSIGNED_HASH)) !== 0,
		journalInode: raw.journalInode,
		mmpBlock: raw.mmpBlockLow + raw.mmpBlockHigh * 2 ** 32,
		journalUuid: raw.journalUuid,
	};
}

/** What the kernel refuses, too (fs/ext4/super.c, __ext4_fill_super), since no such volume was ever made. */
function checkCombinations(raw: RawSuperblock, features: ReadonlySet<FeatureName>): void {
	for (const name of ['64bit', 'ea_inode'] as const) {
		if (raw.creatorOs !== CREATOR_HURD || !features.has(name)) continue;
		throw unsupported('hurd-features', `superblock: the volume was made for the Hurd, which has no feature ${name}`);
	}
	if (features.has('flex_bg') && raw.logGroupsPerFlex > MAX_LOG_GROUPS_PER_FLEX) {
		throw bad('s_log_groups_per_flex', raw.logGroupsPerFlex, `at most ${MAX_LOG_GROUPS_PER_FLEX}`);
	}
	if (raw.defaultHashVersion > HASH_TEA_UNSIGNED) {
		throw bad('s_def_hash_version', raw.defaultHashVersion, `0 to ${HASH_TEA_UNSIGNED}`);
	}
}

function checkChecksum(raw: RawSuperblock, bytes: Buffer): void {
	if (raw.checksumType !== CHECKSUM_TYPE_CRC32C) {
		throw unsupported('checksum-type', `superblock: checksum type ${raw.checksumType}, this version knows 1 (crc32c)`);
	}
	if (crc32c(0xffffffff, bytes, 0, SUPERBLOCK_CHECKSUM_AT) !== raw.checksum) {
		throw corrupt('superblock-checksum', 'superblock: its checksum does not fit its content; e2fsck can repair it');
	}
}

function decodeGeometry(raw: RawSuperblock, features: ReadonlySet<FeatureName>, deviceSizeBytes: number) {
	if (raw.logBlockSize > 6) throw bad('s_log_block_size', raw.logBlockSize, '0 to 6 (1 to 64 KiB)');
	const blockSizeBytes = 1024 << raw.logBlockSize;
	const bigalloc = features.has('bigalloc');
	if (bigalloc && (raw.logClusterSize < raw.logBlockSize || raw.logClusterSize > 20)) {
		throw bad('s_log_cluster_size', raw.logClusterSize, `${raw.logBlockSize} to 20`);
	}
	if (!bigalloc && raw.logClusterSize !== raw.logBlockSize) {
		throw bad('s_log_cluster_size', raw.logClusterSize, `${raw.logBlockSize} without the feature bigalloc`);
	}
	const blocksPerCluster = bigalloc ? 2 ** (raw.logClusterSize - raw.logBlockSize) : 1;
	const { clustersPerGroup } = raw;
	if (clustersPerGroup < 1 || clustersPerGroup > 8 * blockSizeBytes) {
		throw bad('s_clusters_per_group', clustersPerGroup, `1 to ${8 * blockSizeBytes}`);
	}
	if (raw.blocksPerGroup !== clustersPerGroup * blocksPerCluster) {
		throw bad('s_blocks_per_group', raw.blocksPerGroup, `${clustersPerGroup} clusters of ${blocksPerCluster} blocks`);
	}
	const blockCount = raw.blockCountLow + (features.has('64bit') ? raw.blockCountHigh * 2 ** 32 : 0);
	if (blockCount * blockSizeBytes > Math.min(deviceSizeBytes, Number.MAX_SAFE_INTEGER)) {
		throw corrupt(
			'truncated-volume',
			`superblock: ${blockCount} blocks of ${blockSizeBytes} bytes, but the device has ${deviceSizeBytes} bytes`,
		);
	}
	// With clusters of one block of 1 KiB, block 0 is before the first group.
	const firstDataBlocks = blockSizeBytes > 1024 ? [0] : blocksPerCluster > 1 ? [0, 1] : [1];
	if (!firstDataBlocks.includes(raw.firstDataBlock)) {
		throw bad('s_first_data_block', raw.firstDataBlock, firstDataBlocks.join(' or '));
	}
	if (blockCount <= raw.firstDataBlock) throw bad('s_blocks_count', blockCount, 'at least one block group');
	return {
		blockSizeBytes,
		blocksPerCluster,
		clustersPerGroup,
		blocksPerGroup: raw.blocksPerGroup,
		blockCount,
		firstDataBlock: raw.firstDataBlock,
		reservedBlocks: raw.reservedBlocksLow + (features.has('64bit') ? raw.reservedBlocksHigh * 2 ** 32 : 0),
		freeBlocks: raw.freeBlocksLow + (features.has('64bit') ? raw.freeBlocksHigh * 2 ** 32 : 0),
		overheadClusters: raw.overheadClusters,
		groupCount: Math.ceil((blockCount - raw.firstDataBlock) / raw.blocksPerGroup),
	};
}

function decodeDescriptorGeometry(
	raw: RawSuperblock,
	features: ReadonlySet<FeatureName>,
	{ blockSizeBytes, groupCount }: { blockSizeBytes: number; groupCount: number },
) {
	const descriptorSizeBytes = features.has('64bit') ? raw.descriptorSizeBytes : SHORT_DESCRIPTOR_BYTES;
	const isSound = descriptorSizeBytes >= 64 && descriptorSizeBytes <= 1024 && isPowerOfTwo(descriptorSizeBytes);
	if (features.has('64bit') && !isSound) {
		throw bad('s_desc_size', descriptorSizeBytes, 'a power of two from 64 to 1024 (feature 64bit)');
	}
	const descriptorsPerBlock = blockSizeBytes / descriptorSizeBytes;
	const descriptorBlocks = Math.ceil(groupCount / descriptorsPerBlock);
	if (features.has('meta_bg') && raw.firstMetaGroup > descriptorBlocks) {
		throw bad('s_first_meta_bg', raw.firstMetaGroup, `at most ${descriptorBlocks} blocks of descriptors`);
	}
	if (raw.reservedDescriptorBlocks > blockSizeBytes / 4) {
		throw bad('s_reserved_gdt_blocks', raw.reservedDescriptorBlocks, `at most ${blockSizeBytes / 4}`);
	}
	return {
		descriptorSizeBytes,
		descriptorsPerBlock,
		firstMetaGroup: features.has('meta_bg') ? raw.firstMetaGroup : descriptorBlocks,
		reservedDescriptorBlocks: raw.reservedDescriptorBlocks,
		backupGroups: [raw.backupGroup0, raw.backupGroup1] as const,
	};
}

function decodeInodeGeometry(
	raw: RawSuperblock,
	{ blockSizeBytes, groupCount }: { blockSizeBytes: number; groupCount: number },
) {
	const inodeSizeBytes = raw.revision === 0 ? BASE_INODE_BYTES : raw.inodeSizeBytes;
	if (inodeSizeBytes < BASE_INODE_BYTES || inodeSizeBytes > blockSizeBytes || !isPowerOfTwo(inodeSizeBytes)) {
		throw bad('s_inode_size', inodeSizeBytes, `a power of two from ${BASE_INODE_BYTES} to ${blockSizeBytes}`);
	}
	const inodesPerBlock = blockSizeBytes / inodeSizeBytes;
	if (raw.inodesPerGroup < inodesPerBlock || raw.inodesPerGroup > 8 * blockSizeBytes) {
		throw bad('s_inodes_per_group', raw.inodesPerGroup, `${inodesPerBlock} to ${8 * blockSizeBytes}`);
	}
	if (raw.inodeCount !== groupCount * raw.inodesPerGroup) {
		throw bad('s_inodes_count', raw.inodeCount, `${groupCount} groups of ${raw.inodesPerGroup}`);
	}
	const firstInode = raw.revision === 0 ? FIRST_INODE_OF_OLD : raw.firstInode;
	if (firstInode < FIRST_INODE_OF_OLD) throw bad('s_first_ino', firstInode, `at least ${FIRST_INODE_OF_OLD}`);
	return {
		inodeCount: raw.inodeCount,
		freeInodes: raw.freeInodes,
		inodesPerGroup: raw.inodesPerGroup,
		inodeSizeBytes,
		inodeTableBlocks: Math.ceil(raw.inodesPerGroup / inodesPerBlock),
		firstInode,
	};
}

function bad(field: string, found: number, expected: string) {
	return corrupt('superblock-field', `superblock: ${field} is ${found}, expected ${expected}`);
}

function isPowerOfTwo(value: number): boolean {
	return value > 0 && (value & (value - 1)) === 0;
}
