/**
 * The structures of ext2, ext3 and ext4 on the disk, little-endian. Each field's comment is its name in the kernel
 * (fs/ext4/ext4.h, ext4_extents.h, xattr.h; Documentation/filesystems/ext4/). The journal's are in journal-layout.ts.
 */
import { bytes, i32le, struct, text, u8, u16le, u32le } from '../bytes/struct.ts';

export const SUPERBLOCK_BYTE_OFFSET = 1024;
export const SUPERBLOCK_MAGIC = 0xef53;

export const superblockLayout = struct('superblock', 1024, {
	inodeCount: u32le(0x00), // s_inodes_count
	blockCountLow: u32le(0x04), // s_blocks_count_lo
	reservedBlocksLow: u32le(0x08), // s_r_blocks_count_lo
	freeBlocksLow: u32le(0x0c), // s_free_blocks_count_lo
	freeInodes: u32le(0x10), // s_free_inodes_count
	firstDataBlock: u32le(0x14), // s_first_data_block
	logBlockSize: u32le(0x18), // s_log_block_size
	logClusterSize: u32le(0x1c), // s_log_cluster_size
	blocksPerGroup: u32le(0x20), // s_blocks_per_group
	clustersPerGroup: u32le(0x24), // s_clusters_per_group
	inodesPerGroup: u32le(0x28), // s_inodes_per_group
	mountTimeSec: u32le(0x2c), // s_mtime
	writeTimeSec: u32le(0x30), // s_wtime
	mountCount: u16le(0x34), // s_mnt_count
	magic: u16le(0x38), // s_magic
	state: u16le(0x3a), // s_state
	checkTimeSec: u32le(0x40), // s_lastcheck
	creatorOs: u32le(0x48), // s_creator_os
	revision: u32le(0x4c), // s_rev_level
	firstInode: u32le(0x54), // s_first_ino
	inodeSizeBytes: u16le(0x58), // s_inode_size
	compat: u32le(0x5c), // s_feature_compat
	incompat: u32le(0x60), // s_feature_incompat
	roCompat: u32le(0x64), // s_feature_ro_compat
	uuid: bytes(16)(0x68), // s_uuid
	label: text(16)(0x78), // s_volume_name
	lastMounted: text(64)(0x88), // s_last_mounted
	reservedDescriptorBlocks: u16le(0xce), // s_reserved_gdt_blocks
	journalUuid: bytes(16)(0xd0), // s_journal_uuid
	journalInode: u32le(0xe0), // s_journal_inum
	hashSeed: bytes(16)(0xec), // s_hash_seed
	defaultHashVersion: u8(0xfc), // s_def_hash_version
	descriptorSizeBytes: u16le(0xfe), // s_desc_size
	firstMetaGroup: u32le(0x104), // s_first_meta_bg
	creationTimeSec: u32le(0x108), // s_mkfs_time
	blockCountHigh: u32le(0x150), // s_blocks_count_hi
	reservedBlocksHigh: u32le(0x154), // s_r_blocks_count_hi
	freeBlocksHigh: u32le(0x158), // s_free_blocks_count_hi
	flags: u32le(0x160), // s_flags
	mmpIntervalSec: u16le(0x166), // s_mmp_interval
	mmpBlockLow: u32le(0x168), // s_mmp_block
	mmpBlockHigh: u32le(0x16c),
	logGroupsPerFlex: u8(0x174), // s_log_groups_per_flex
	checksumType: u8(0x175), // s_checksum_type
	overheadClusters: u32le(0x248), // s_overhead_clusters
	backupGroup0: u32le(0x24c), // s_backup_bgs[0]
	backupGroup1: u32le(0x250), // s_backup_bgs[1]
	checksumSeed: u32le(0x270), // s_checksum_seed
	encoding: u16le(0x27c), // s_encoding
	encodingFlags: u16le(0x27e), // s_encoding_flags
	orphanFileInode: u32le(0x280), // s_orphan_file_inum
	checksum: u32le(0x3fc), // s_checksum
});
/** Covered by s_checksum: all that stands before it. */
export const SUPERBLOCK_CHECKSUM_AT = superblockLayout.at.checksum;

/** Bits of s_state (fs/ext4/ext4.h). */
export const STATE_VALID = 0x1; // EXT4_VALID_FS
export const STATE_ERRORS = 0x2; // EXT4_ERROR_FS
export const STATE_ORPHANS = 0x4; // EXT4_ORPHAN_FS

/** The block by which hosts tell each other that they use the volume (feature `mmp`). */
export const mmpLayout = struct('MMP block', 1024, {
	magic: u32le(0x0), // mmp_magic
	sequence: u32le(0x4), // mmp_seq
	timeSec: u32le(0x8), // mmp_time, its lower half
	host: text(64)(0x10), // mmp_nodename
	device: text(32)(0x50), // mmp_bdevname
	checksum: u32le(0x3fc), // mmp_checksum
});
export const MMP_MAGIC = 0x004d4d50; // EXT4_MMP_MAGIC
export const MMP_SEQUENCE_CLEAN = 0xff4d4d50; // EXT4_MMP_SEQ_CLEAN
export const MMP_SEQUENCE_FSCK = 0xe24d4d50; // EXT4_MMP_SEQ_FSCK
export const MMP_CHECKSUM_AT = mmpLayout.at.checksum;

export const CREATOR_HURD = 1; // EXT4_OS_HURD
export const CHECKSUM_TYPE_CRC32C = 1; // EXT4_CRC32C_CHKSUM
export const FLAG_SIGNED_HASH = 0x1; // EXT2_FLAGS_SIGNED_HASH
export const FLAG_UNSIGNED_HASH = 0x2; // EXT2_FLAGS_UNSIGNED_HASH

/** A descriptor of 32 bytes has only the fields before 0x20. */
export const groupDescriptorLayout = struct('group descriptor', 64, {
	blockBitmapLow: u32le(0x00), // bg_block_bitmap_lo
	inodeBitmapLow: u32le(0x04), // bg_inode_bitmap_lo
	inodeTableLow: u32le(0x08), // bg_inode_table_lo
	freeClustersLow: u16le(0x0c), // bg_free_blocks_count_lo
	freeInodesLow: u16le(0x0e), // bg_free_inodes_count_lo
	flags: u16le(0x12), // bg_flags
	blockBitmapChecksumLow: u16le(0x18), // bg_block_bitmap_csum_lo
	checksum: u16le(0x1e), // bg_checksum
	blockBitmapHigh: u32le(0x20), // bg_block_bitmap_hi
	inodeBitmapHigh: u32le(0x24), // bg_inode_bitmap_hi
	inodeTableHigh: u32le(0x28), // bg_inode_table_hi
	freeClustersHigh: u16le(0x2c), // bg_free_blocks_count_hi
	freeInodesHigh: u16le(0x2e), // bg_free_inodes_count_hi
	blockBitmapChecksumHigh: u16le(0x38), // bg_block_bitmap_csum_hi
});
export const GROUP_DESCRIPTOR_CHECKSUM_AT = groupDescriptorLayout.at.checksum;
export const SHORT_DESCRIPTOR_BYTES = 32;

export const GROUP_BLOCK_UNINIT = 0x2; // EXT4_BG_BLOCK_UNINIT

/** The part of an inode that every revision has. */
export const BASE_INODE_BYTES = 128; // EXT4_GOOD_OLD_INODE_SIZE

export const inodeLayout = struct('inode', 160, {
	mode: u16le(0x00), // i_mode
	uidLow: u16le(0x02), // i_uid
	sizeLow: u32le(0x04), // i_size_lo
	atimeSec: i32le(0x08), // i_atime
	ctimeSec: i32le(0x0c), // i_ctime
	mtimeSec: i32le(0x10), // i_mtime
	deletionTimeSec: u32le(0x14), // i_dtime
	gidLow: u16le(0x18), // i_gid
	linkCount: u16le(0x1a), // i_links_count
	blocksLow: u32le(0x1c), // i_blocks_lo
	flags: u32le(0x20), // i_flags
	block: bytes(60)(0x28), // i_block
	generation: u32le(0x64), // i_generation
	xattrBlockLow: u32le(0x68), // i_file_acl_lo
	sizeHigh: u32le(0x6c), // i_size_high
	blocksHigh: u16le(0x74), // l_i_blocks_high
	xattrBlockHigh: u16le(0x76), // l_i_file_acl_high
	uidHigh: u16le(0x78), // l_i_uid_high
	gidHigh: u16le(0x7a), // l_i_gid_high
	checksumLow: u16le(0x7c), // l_i_checksum_lo
	extraSizeBytes: u16le(0x80), // i_extra_isize
	checksumHigh: u16le(0x82), // i_checksum_hi
	ctimeExtra: u32le(0x84), // i_ctime_extra
	mtimeExtra: u32le(0x88), // i_mtime_extra
	atimeExtra: u32le(0x8c), // i_atime_extra
	birthtimeSec: i32le(0x90), // i_crtime
	birthtimeExtra: u32le(0x94), // i_crtime_extra
	projectId: u32le(0x9c), // i_projid
});

export const FLAG_ENCRYPT = 0x800; // EXT4_ENCRYPT_FL
export const FLAG_INDEX = 0x1000; // EXT4_INDEX_FL
export const FLAG_HUGE_FILE = 0x40000; // EXT4_HUGE_FILE_FL
export const FLAG_EXTENTS = 0x80000; // EXT4_EXTENTS_FL
export const FLAG_EA_INODE = 0x200000; // EXT4_EA_INODE_FL
export const FLAG_INLINE_DATA = 0x10000000; // EXT4_INLINE_DATA_FL
export const FLAG_CASEFOLD = 0x40000000; // EXT4_CASEFOLD_FL

/** All of i_flags by name, for people (EXT4_…_FL). What is none of the above changes nothing for a reader. */
export const INODE_FLAGS = {
	...{ secrm: 0x1, unrm: 0x2, compr: 0x4, sync: 0x8, immutable: 0x10, append: 0x20, nodump: 0x40, noatime: 0x80 },
	...{ dirty: 0x100, comprblk: 0x200, nocompr: 0x400, encrypt: FLAG_ENCRYPT, index: FLAG_INDEX, imagic: 0x2000 },
	...{ journal_data: 0x4000, notail: 0x8000, dirsync: 0x10000, topdir: 0x20000, huge_file: FLAG_HUGE_FILE },
	...{ extents: FLAG_EXTENTS, verity: 0x100000, ea_inode: FLAG_EA_INODE, dax: 0x2000000 },
	...{ inline_data: FLAG_INLINE_DATA, projinherit: 0x20000000, casefold: FLAG_CASEFOLD },
} as const;

/** Which of them programs are told (EXT4_FL_USER_VISIBLE). */
export const VISIBLE_FLAGS = 0x725bdfff;

/** File types in i_mode, and the mask that selects them (linux/stat.h). */
export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;

export const EXTENT_MAGIC = 0xf30a; // EXT4_EXT_MAGIC
/** Tree levels below the root: enough for 2^32 blocks in any block size. */
export const MAX_EXTENT_DEPTH = 5; // EXT4_MAX_EXTENT_DEPTH
/** A longer extent is unwritten: its length is what goes past this. */
export const MAX_WRITTEN_EXTENT_BLOCKS = 32768; // EXT_INIT_MAX_LEN

export const extentHeaderLayout = struct('extent header', 12, {
	magic: u16le(0x0), // eh_magic
	entryCount: u16le(0x2), // eh_entries
	maxEntries: u16le(0x4), // eh_max
	depth: u16le(0x6), // eh_depth
	generation: u32le(0x8), // eh_generation
});

export const extentIndexLayout = struct('extent index', 12, {
	fileBlock: u32le(0x0), // ei_block
	childLow: u32le(0x4), // ei_leaf_lo
	childHigh: u16le(0x8), // ei_leaf_hi
});

export const extentLayout = struct('extent', 12, {
	fileBlock: u32le(0x0), // ee_block
	length: u16le(0x4), // ee_len
	startHigh: u16le(0x6), // ee_start_hi
	startLow: u32le(0x8), // ee_start_lo
});

export const DIRECT_BLOCKS = 12; // EXT4_NDIR_BLOCKS

/** The name follows. `nameLength` is 16 bits wide, and there is no type, without the `filetype` feature. */
export const directoryEntryLayout = struct('directory entry', 8, {
	inode: u32le(0x0), // inode
	recordLength: u16le(0x4), // rec_len
	nameLength: u8(0x6), // name_len
	fileType: u8(0x7), // file_type
});

/** The last 12 bytes of a directory block with a checksum look like an unused entry of this type. */
export const DIRECTORY_TAIL_BYTES = 12;
export const DIRECTORY_TAIL_TYPE = 0xde; // EXT4_FT_DIR_CSUM
export const FILE_TYPE_DIRECTORY = 2; // EXT4_FT_DIR
export const MAX_FILE_TYPE = 7; // EXT4_FT_SYMLINK

export const XATTR_MAGIC = 0xea020000; // EXT4_XATTR_MAGIC

export const xattrBlockHeaderLayout = struct('xattr block header', 32, {
	magic: u32le(0x00), // h_magic
	blockCount: u32le(0x08), // h_blocks
	checksum: u32le(0x10), // h_checksum
});
export const XATTR_BLOCK_CHECKSUM_AT = xattrBlockHeaderLayout.at.checksum;

/** The name follows, padded to 4 bytes. */
export const xattrEntryLayout = struct('xattr entry', 16, {
	nameLength: u8(0x0), // e_name_len
	nameIndex: u8(0x1), // e_name_index
	valueAt: u16le(0x2), // e_value_offs
	valueInode: u32le(0x4), // e_value_inum
	valueSizeBytes: u32le(0x8), // e_value_size
	hash: u32le(0xc), // e_hash
});
