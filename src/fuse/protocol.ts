/**
 * The wire format of FUSE 7.39 (include/uapi/linux/fuse.h): what the kernel writes into /dev/fuse and what it expects
 * back. Constants keep the kernel's names; structures are tables whose trailing comment is the kernel's field name.
 * Node ids and `unique` are opaque 64-bit values: they travel as two halves, so that no request costs a BigInt.
 */
import { i32le, i64le, struct, u16le, u32le, u64le } from '../bytes/struct.ts';

export const FUSE_KERNEL_VERSION = 7;
/** The newest minor version whose structures are declared here. 7.39 is the first with STATX. */
export const FUSE_KERNEL_MINOR_VERSION = 39;

export const FUSE_LOOKUP = 1;
export const FUSE_FORGET = 2;
export const FUSE_GETATTR = 3;
export const FUSE_SETATTR = 4;
export const FUSE_READLINK = 5;
export const FUSE_SYMLINK = 6;
export const FUSE_MKNOD = 8;
export const FUSE_MKDIR = 9;
export const FUSE_UNLINK = 10;
export const FUSE_RMDIR = 11;
export const FUSE_RENAME = 12;
export const FUSE_LINK = 13;
export const FUSE_OPEN = 14;
export const FUSE_READ = 15;
export const FUSE_WRITE = 16;
export const FUSE_STATFS = 17;
export const FUSE_RELEASE = 18;
export const FUSE_FSYNC = 20;
export const FUSE_SETXATTR = 21;
export const FUSE_GETXATTR = 22;
export const FUSE_LISTXATTR = 23;
export const FUSE_REMOVEXATTR = 24;
export const FUSE_INIT = 26;
export const FUSE_OPENDIR = 27;
export const FUSE_READDIR = 28;
export const FUSE_CREATE = 35;
export const FUSE_INTERRUPT = 36;
export const FUSE_DESTROY = 38;
export const FUSE_IOCTL = 39;
export const FUSE_BATCH_FORGET = 42;
export const FUSE_FALLOCATE = 43;
export const FUSE_READDIRPLUS = 44;
export const FUSE_RENAME2 = 45;
export const FUSE_LSEEK = 46;
export const FUSE_COPY_FILE_RANGE = 47;
export const FUSE_TMPFILE = 51;
export const FUSE_STATX = 52;

// Feature flags of INIT.
export const FUSE_ASYNC_READ = 1 << 0;
export const FUSE_EXPORT_SUPPORT = 1 << 4;
export const FUSE_BIG_WRITES = 1 << 5;
export const FUSE_AUTO_INVAL_DATA = 1 << 12;
export const FUSE_DO_READDIRPLUS = 1 << 13;
export const FUSE_ASYNC_DIO = 1 << 15;
export const FUSE_NO_OPEN_SUPPORT = 1 << 17;
export const FUSE_PARALLEL_DIROPS = 1 << 18;
export const FUSE_POSIX_ACL = 1 << 20;
export const FUSE_MAX_PAGES = 1 << 22;
export const FUSE_CACHE_SYMLINKS = 1 << 23;
export const FUSE_NO_OPENDIR_SUPPORT = 1 << 24;
export const FUSE_INIT_EXT = 1 << 30;
/** Bit 36, in the second word: an O_DIRECT-like open file may still be mapped. */
export const FUSE_DIRECT_IO_ALLOW_MMAP_FLAGS2 = 1 << 4;

export const FOPEN_DIRECT_IO = 1 << 0;

// fuse_setattr_in.valid
export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;

export const FUSE_NOTIFY_INVAL_INODE = 2;
export const FUSE_NOTIFY_INVAL_ENTRY = 3;
export const FUSE_NOTIFY_STORE = 4;

/** The kernel's page: requests and MAX_PAGES count in it. */
export const PAGE_BYTES = 4096;
/** One request carries up to this much content. 256 pages is the kernel's own limit (fs.fuse.max_pages_limit). */
export const MAX_CONTENT_BYTES = 256 * PAGE_BYTES;
/** A cache time without end, in seconds: the kernel clamps what its clock cannot hold. */
export const FOREVER_SEC = 2 ** 32 - 1;

export const inHeader = struct('fuse_in_header', 40, {
	lengthBytes: u32le(0), // len
	opcode: u32le(4), // opcode
	uniqueLow: u32le(8), // unique
	uniqueHigh: u32le(12),
	nodeLow: u32le(16), // nodeid
	nodeHigh: u32le(20),
	uid: u32le(24), // uid
	gid: u32le(28), // gid
	pid: u32le(32), // pid
	extensionWords: u16le(36), // total_extlen
});

export const outHeader = struct('fuse_out_header', 16, {
	lengthBytes: u32le(0), // len
	error: i32le(4), // error: 0 or minus errno; in a notification its code
	uniqueLow: u32le(8), // unique: of the request; 0 in a notification
	uniqueHigh: u32le(12),
});

export const initIn = struct('fuse_init_in', 64, {
	major: u32le(0), // major
	minor: u32le(4), // minor
	maxReadAheadBytes: u32le(8), // max_readahead
	flags: u32le(12), // flags
	flags2: u32le(16), // flags2
});

export const initOut = struct('fuse_init_out', 64, {
	major: u32le(0), // major
	minor: u32le(4), // minor
	maxReadAheadBytes: u32le(8), // max_readahead
	flags: u32le(12), // flags
	maxBackgroundCount: u16le(16), // max_background
	congestionThresholdCount: u16le(18), // congestion_threshold
	maxWriteBytes: u32le(20), // max_write
	timeGranularityNsec: u32le(24), // time_gran
	maxPages: u16le(28), // max_pages
	flags2: u32le(32), // flags2
});

/** Starts a reply to LOOKUP and an entry of READDIRPLUS; `attr` follows at its size. */
export const entryOut = struct('fuse_entry_out', 40, {
	nodeLow: u32le(0), // nodeid
	nodeHigh: u32le(4),
	generation: u64le(8), // generation
	entryValidSec: u64le(16), // entry_valid
	attrValidSec: u64le(24), // attr_valid
	entryValidNsec: u32le(32), // entry_valid_nsec
	attrValidNsec: u32le(36), // attr_valid_nsec
});

/** Starts a reply to GETATTR and SETATTR; `attr` follows at its size. */
export const attrOut = struct('fuse_attr_out', 16, {
	attrValidSec: u64le(0), // attr_valid
	attrValidNsec: u32le(8), // attr_valid_nsec
});

export const attr = struct('fuse_attr', 88, {
	inoLow: u32le(0), // ino
	inoHigh: u32le(4),
	sizeBytes: u64le(8), // size
	blocks512: u64le(16), // blocks
	atimeSec: i64le(24), // atime
	mtimeSec: i64le(32), // mtime
	ctimeSec: i64le(40), // ctime
	atimeNsec: u32le(48), // atimensec
	mtimeNsec: u32le(52), // mtimensec
	ctimeNsec: u32le(56), // ctimensec
	mode: u32le(60), // mode
	linkCount: u32le(64), // nlink
	uid: u32le(68), // uid
	gid: u32le(72), // gid
	device: u32le(76), // rdev
	blockSizeBytes: u32le(80), // blksize
	flags: u32le(84), // flags
});

/** Starts a reply to STATX; `statx` follows at its size. */
export const statxOut = struct('fuse_statx_out', 32, {
	attrValidSec: u64le(0), // attr_valid
	attrValidNsec: u32le(8), // attr_valid_nsec
});

export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;

export const statx = struct('fuse_statx', 256, {
	mask: u32le(0), // mask
	blockSizeBytes: u32le(4), // blksize
	attributes: u64le(8), // attributes
	linkCount: u32le(16), // nlink
	uid: u32le(20), // uid
	gid: u32le(24), // gid
	mode: u16le(28), // mode
	inoLow: u32le(32), // ino
	inoHigh: u32le(36),
	sizeBytes: u64le(40), // size
	blocks512: u64le(48), // blocks
	attributesMask: u64le(56), // attributes_mask
	atimeSec: i64le(64), // atime
	atimeNsec: u32le(72),
	birthtimeSec: i64le(80), // btime
	birthtimeNsec: u32le(88),
	ctimeSec: i64le(96), // ctime
	ctimeNsec: u32le(104),
	mtimeSec: i64le(112), // mtime
	mtimeNsec: u32le(120),
	deviceMajor: u32le(128), // rdev_major
	deviceMinor: u32le(132), // rdev_minor
});

export const openOut = struct('fuse_open_out', 16, {
	handle: u64le(0), // fh
	openFlags: u32le(8), // open_flags
});

export const setattrIn = struct('fuse_setattr_in', 88, {
	valid: u32le(0), // valid
	sizeBytes: u64le(16), // size
	atimeSec: i64le(32), // atime
	mtimeSec: i64le(40), // mtime
	ctimeSec: i64le(48), // ctime
	atimeNsec: u32le(56), // atimensec
	mtimeNsec: u32le(60), // mtimensec
	ctimeNsec: u32le(64), // ctimensec
	mode: u32le(68), // mode
	uid: u32le(76), // uid
	gid: u32le(80), // gid
});

/** READ, READDIR and READDIRPLUS. */
export const readIn = struct('fuse_read_in', 40, {
	handle: u64le(0), // fh
	byteOffset: u64le(8), // offset: in a directory, a position that READDIR gave
	lengthBytes: u32le(16), // size
	readFlags: u32le(20), // read_flags
	openFlags: u32le(32), // flags
});

/** The content follows. */
export const writeIn = struct('fuse_write_in', 40, {
	handle: u64le(0), // fh
	byteOffset: u64le(8), // offset
	lengthBytes: u32le(16), // size
	writeFlags: u32le(20), // write_flags
	openFlags: u32le(32), // flags
});

export const writeOut = struct('fuse_write_out', 8, {
	lengthBytes: u32le(0), // size
});

export const fallocateIn = struct('fuse_fallocate_in', 32, {
	handle: u64le(0), // fh
	byteOffset: u64le(8), // offset
	lengthBytes: u64le(16), // length
	mode: u32le(24), // mode
});

export const lseekIn = struct('fuse_lseek_in', 24, {
	handle: u64le(0), // fh
	// What the caller of lseek(2) said, be it -1 or past 2^53.
	byteOffsetLow: u32le(8), // offset
	byteOffsetHigh: u32le(12),
	whence: u32le(16), // whence
});

export const lseekOut = struct('fuse_lseek_out', 8, {
	byteOffset: u64le(0), // offset
});

export const statfsOut = struct('fuse_kstatfs', 80, {
	blocks: u64le(0), // blocks
	freeBlocks: u64le(8), // bfree
	availableBlocks: u64le(16), // bavail
	files: u64le(24), // files
	freeFiles: u64le(32), // ffree
	blockSizeBytes: u32le(40), // bsize
	nameMaxBytes: u32le(44), // namelen
	fragmentSizeBytes: u32le(48), // frsize
});

export const ioctlIn = struct('fuse_ioctl_in', 32, {
	handle: u64le(0), // fh
	flags: u32le(8), // flags
	command: u32le(12), // cmd
	inputBytes: u32le(24), // in_size
	outputBytes: u32le(28), // out_size
});

/** What the ioctl tells follows. */
export const ioctlOut = struct('fuse_ioctl_out', 16, {
	result: i32le(0), // result
	flags: u32le(4), // flags
});

export const fsxattr = struct('fsxattr', 28, {
	flags: u32le(0), // fsx_xflags
	projectId: u32le(12), // fsx_projid
});

/** GETXATTR (the name follows) and LISTXATTR. Size 0 asks for the size alone. */
export const getxattrIn = struct('fuse_getxattr_in', 8, {
	sizeBytes: u32le(0), // size
});

export const getxattrOut = struct('fuse_getxattr_out', 8, {
	sizeBytes: u32le(0), // size
});

/** The name follows; each entry is padded to 8 bytes. In READDIRPLUS an entry_out and attr stand before it. */
export const dirent = struct('fuse_dirent', 24, {
	inoLow: u32le(0), // ino
	inoHigh: u32le(4),
	nextPosition: u64le(8), // off
	nameBytes: u32le(16), // namelen
	type: u32le(20), // type: DT_*
});

export const invalInodeOut = struct('fuse_notify_inval_inode_out', 24, {
	nodeLow: u32le(0), // ino
	nodeHigh: u32le(4),
	byteOffset: i64le(8), // off: negative: attributes only
	lengthBytes: i64le(16), // len: 0 or less: to the end
});

/** The name and a NUL follow. */
export const invalEntryOut = struct('fuse_notify_inval_entry_out', 16, {
	parentLow: u32le(0), // parent
	parentHigh: u32le(4),
	nameBytes: u32le(8), // namelen
	flags: u32le(12), // flags
});

/** The content follows. */
export const storeOut = struct('fuse_notify_store_out', 24, {
	nodeLow: u32le(0), // nodeid
	nodeHigh: u32le(4),
	byteOffset: u64le(8), // offset
	lengthBytes: u32le(16), // size
});
