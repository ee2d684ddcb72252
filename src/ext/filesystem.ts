import type { BlockDevice } from '../block/device.ts';
import { LineCache } from '../block/line-cache.ts';
import { corrupt, unsupported } from '../errors.ts';
import { BlockReader } from './block-reader.ts';
import { Directories, type EntryVisitor } from './directory.ts';
import { carryOut, type Edits } from './fast-commit-edits.ts';
import { FileBlocks } from './file-blocks.ts';
import { FileContent } from './file-content.ts';
import { GroupDescriptors } from './group-descriptors.ts';
import { announceInodes, type Inode, isEncryptedLink, readInode } from './inode.ts';
import { withJournal } from './journal.ts';
import { SUPERBLOCK_BYTE_OFFSET, superblockLayout } from './layout.ts';
import { computeStatfs, type Statfs } from './statfs.ts';
import { decodeSuperblock, type Superblock } from './superblock.ts';
import { getXattr, listXattrs } from './xattr.ts';
import { readXattrInode } from './xattr-inode.ts';

export const ROOT_INODE = 2;
const DEFAULT_CACHE_BYTES = 32 << 20;

export interface OpenOptions {
	/** Holds metadata; default: one of its own, of 32 MiB. */
	readonly cache?: LineCache;
	/** False shows the volume as it lies on the disk (mount -o noload); default: true. */
	readonly replayJournal?: boolean;
	/** Holds the journal, where that is not in the volume; the caller closes it. */
	readonly journalDevice?: BlockDevice;
}

/**
 * An ext2, ext3 or ext4 file system, read only: nothing in this folder can write. Every call is synchronous and throws
 * a NoonmarkError where the answer is damaged (`corrupt`), not known (`unsupported`) or not to be had (`io`); damage is
 * an error for what it touches, and for nothing else.
 */
export class ExtFileSystem {
	readonly superblock: Superblock;
	/** What the functions of this folder work on (used-map.ts). */
	readonly blocks: BlockReader;
	readonly groups: GroupDescriptors;
	readonly files: FileBlocks;
	readonly #content: FileContent;
	readonly #directories: Directories;
	#statfs: Statfs | undefined;

	private constructor(superblock: Superblock, { device, remapped, directories }: Edits, cache: LineCache) {
		this.superblock = superblock;
		this.blocks = new BlockReader(superblock, device, { cache });
		this.groups = new GroupDescriptors(this.blocks);
		this.files = new FileBlocks(this.blocks, remapped);
		this.#content = new FileContent(this.blocks, this.files);
		this.#directories = new Directories(this.blocks, this.files, directories, (inodeNumbers) =>
			announceInodes(this.blocks, this.groups, inodeNumbers),
		);
	}

	/** The device must not change while it is read here; it stays the caller's, who closes it. */
	static open(device: BlockDevice, options: OpenOptions = {}): ExtFileSystem {
		const onDisk = readSuperblock(device);
		const isReplayed = options.replayJournal !== false;
		const replayed = isReplayed ? withJournal(device, onDisk, options.journalDevice) : { device, fastCommits: [] };
		// The superblock itself, or new descriptors, may be in the log.
		const superblock = replayed.device === device ? onDisk : readSuperblock(replayed.device);
		const edits = carryOut(replayed.device, superblock, replayed.fastCommits);
		return new ExtFileSystem(superblock, edits, options.cache ?? new LineCache(DEFAULT_CACHE_BYTES));
	}

	/** Drops what it has cached, for good. Needed only where the cache is shared. */
	close(): void {
		this.blocks.close();
	}

	/** As the kernel's statfs(2) would answer for this volume. */
	statfs(): Statfs {
		this.#statfs ??= computeStatfs(this.superblock, this.groups, this.#journalBlocks());
		return this.#statfs;
	}

	/** An inode that a path can lead to. */
	readInode(inodeNumber: number): Inode {
		if (inodeNumber < this.superblock.firstInode && inodeNumber !== ROOT_INODE) {
			throw corrupt('inode-number', `inode ${inodeNumber}: is reserved, no path leads to it`);
		}
		const inode = readInode(this.blocks, this.groups, inodeNumber);
		if (inode.linkCount === 0) throw corrupt('deleted-inode', `inode ${inodeNumber}: has no links, it is deleted`);
		return isEncryptedLink(inode) ? this.#withShownSize(inode) : inode;
	}

	/** The kernel tells the length of what it shows of an encrypted target; the inode knows that of the ciphertext. */
	#withShownSize(symlink: Inode): Inode {
		try {
			return symlink.withSize(this.#content.readLink(symlink).length);
		} catch {
			// Reading the link tells what is wrong with it.
			return symlink;
		}
	}

	lookup(directory: Inode, name: Uint8Array): number | undefined {
		return this.#directories.lookup(directory, name);
	}

	/**
	 * Visits the entries from `position` on (0, or a `nextPosition` given before), "." and ".." among them, until `visit`
	 * returns false; that entry is not consumed. `withInodes`: the caller reads the inode of each.
	 */
	readDirectory(directory: Inode, position: number, visit: EntryVisitor, withInodes = false): void {
		this.#directories.read(directory, position, visit, withInodes);
	}

	/** Returns the number of bytes read, fewer than asked for only at the end of the file. */
	readFile(file: Inode, byteOffset: number, into: Uint8Array): number {
		return this.#content.read(file, byteOffset, into);
	}

	readLink(symlink: Inode): Buffer {
		return this.#content.readLink(symlink);
	}

	/** Whether a symbolic link's target is in its inode. */
	isFastLink(symlink: Inode): boolean {
		return this.#content.isFastLink(symlink);
	}

	/** Full names, as listxattr(2) shows them to root. */
	listXattrs(inode: Inode): Buffer[] {
		return listXattrs(this.blocks, inode);
	}

	/** The value as getxattr(2) gives it. */
	getXattr(inode: Inode, name: Uint8Array): Buffer | undefined {
		const parts = { blocks: this.blocks, groups: this.groups, content: this.#content };
		return getXattr(this.blocks, inode, name, (owner, entry) => readXattrInode(parts, owner, entry));
	}

	/** lseek(2) SEEK_DATA and SEEK_HOLE; undefined stands for ENXIO. */
	seek(file: Inode, byteOffset: number, what: 'data' | 'hole'): number | undefined {
		return this.#content.seek(file, byteOffset, what);
	}

	#journalBlocks(): number {
		const { features, journalInode, blockSizeBytes } = this.superblock;
		if (!features.has('has_journal') || journalInode === 0) return 0;
		return Math.floor(readInode(this.blocks, this.groups, journalInode).sizeBytes / blockSizeBytes);
	}
}

/** The superblock as it lies on the device. Errors: those of decodeSuperblock; `io`. */
export function readSuperblock(device: BlockDevice): Superblock {
	if (device.sizeBytes < SUPERBLOCK_BYTE_OFFSET + superblockLayout.sizeBytes) {
		throw unsupported('not-ext', `no ext2, ext3 or ext4 file system: the device has only ${device.sizeBytes} bytes`);
	}
	const bytes = Buffer.alloc(superblockLayout.sizeBytes);
	device.read(SUPERBLOCK_BYTE_OFFSET, bytes);
	return decodeSuperblock(bytes, device.sizeBytes);
}
