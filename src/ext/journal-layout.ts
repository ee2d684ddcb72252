/**
 * The structures of the journal (jbd2), big-endian, with the kernel's names (include/linux/jbd2.h;
 * Documentation/filesystems/ext4/journal.rst). Fast commits, in the same blocks, are little-endian: fast-commit.ts.
 */
import { bytes, struct, u8, u16be, u32be } from '../bytes/struct.ts';

export const JOURNAL_MAGIC = 0xc03b3998; // JBD2_MAGIC_NUMBER

export const DESCRIPTOR_BLOCK = 1; // JBD2_DESCRIPTOR_BLOCK
export const COMMIT_BLOCK = 2; // JBD2_COMMIT_BLOCK
export const SUPERBLOCK_V1 = 3; // JBD2_SUPERBLOCK_V1
export const SUPERBLOCK_V2 = 4; // JBD2_SUPERBLOCK_V2
export const REVOKE_BLOCK = 5; // JBD2_REVOKE_BLOCK

export const blockHeaderLayout = struct('journal block header', 12, {
	magic: u32be(0x0), // h_magic
	type: u32be(0x4), // h_blocktype
	sequence: u32be(0x8), // h_sequence
});

export const journalSuperblockLayout = struct('journal superblock', 1024, {
	magic: u32be(0x00), // h_magic
	type: u32be(0x04), // h_blocktype
	blockSizeBytes: u32be(0x0c), // s_blocksize
	blockCount: u32be(0x10), // s_maxlen
	firstLogBlock: u32be(0x14), // s_first
	sequence: u32be(0x18), // s_sequence
	startBlock: u32be(0x1c), // s_start
	compat: u32be(0x24), // s_feature_compat
	incompat: u32be(0x28), // s_feature_incompat
	roCompat: u32be(0x2c), // s_feature_ro_compat
	uuid: bytes(16)(0x30), // s_uuid
	checksumType: u8(0x50), // s_checksum_type
	fastCommitBlocks: u32be(0x54), // s_num_fc_blks
	checksum: u32be(0xfc), // s_checksum
});

export const COMPAT_CHECKSUM = 0x1; // JBD2_FEATURE_COMPAT_CHECKSUM

export const JOURNAL_INCOMPAT = {
	journal_incompat_revoke: 0x1,
	journal_64bit: 0x2,
	journal_async_commit: 0x4,
	journal_checksum_v2: 0x8,
	journal_checksum_v3: 0x10,
	fast_commit: 0x20,
} as const;

export const DEFAULT_FAST_COMMIT_BLOCKS = 256; // JBD2_DEFAULT_FAST_COMMIT_BLOCKS
/** No journal has fewer, without those for fast commits. */
export const MIN_LOG_BLOCKS = 1024; // JBD2_MIN_JOURNAL_BLOCKS
export const JOURNAL_CHECKSUM_CRC32C = 4; // JBD2_CRC32C_CHKSUM

/** Without the `v3` checksum; it is cut after `flags` in volumes below 2^32 blocks, and `v2` adds 2 bytes. */
export const tagLayout = struct('journal block tag', 12, {
	blockLow: u32be(0x0), // t_blocknr
	checksum: u16be(0x4), // t_checksum
	flags: u16be(0x6), // t_flags
	blockHigh: u32be(0x8), // t_blocknr_high
});

export const tag3Layout = struct('journal block tag (v3)', 16, {
	blockLow: u32be(0x0), // t_blocknr
	flags: u32be(0x4), // t_flags
	blockHigh: u32be(0x8), // t_blocknr_high
	checksum: u32be(0xc), // t_checksum
});

export const TAG_ESCAPE = 0x1; // JBD2_FLAG_ESCAPE
export const TAG_SAME_UUID = 0x2; // JBD2_FLAG_SAME_UUID
export const TAG_LAST = 0x8; // JBD2_FLAG_LAST_TAG

export const revokeHeaderLayout = struct('journal revoke block', 16, {
	usedBytes: u32be(0xc), // r_count
});

export const commitLayout = struct('journal commit block', 64, {
	checksumType: u8(0xc), // h_chksum_type
	checksumSize: u8(0xd), // h_chksum_size
	checksum: u32be(0x10), // h_chksum[0]
	timeHigh: u32be(0x30), // h_commit_sec
	timeLow: u32be(0x34),
});
export const COMMIT_CHECKSUM_CRC32 = 1; // JBD2_CRC32_CHKSUM
