/**
 * Carries fast commits out in memory, as fs/ext4/fast_commit.c does on the disk. What comes of it lies over the volume:
 * inodes as bytes in their tables, so that every reader sees them; block maps and names beside those that are stored.
 *
 * Where the kernel's own replay loses what was synced, this does not follow it: files in a new directory stay, link
 * counts are those that were logged (of directories, those that follow from the names), devices and short symbolic links
 * keep what their inode holds. The times of directories are not logged: they are those of the last transaction.
 */
import type { BlockDevice } from '../block/device.ts';
import { LineCache } from '../block/line-cache.ts';
import { corrupt, NoonmarkError, unsupported } from '../errors.ts';
import { BlockReader } from './block-reader.ts';
import { Directories, isPresentable } from './directory.ts';
import { DirectoryEdits, type EditedName } from './directory-edits.ts';
import { DOT, DOT_DOT, isDot, isDotDot } from './directory-entry.ts';
import type { FastCommit } from './fast-commit.ts';
import type { FastCommitRecord } from './fast-commit-layout.ts';
import { FileBlocks } from './file-blocks.ts';
import { GroupDescriptors } from './group-descriptors.ts';
import { BLOCK_AT, Inode, isDirectory, readInodeRecord, sealInode } from './inode.ts';
import {
	EXTENT_MAGIC,
	extentHeaderLayout,
	FILE_TYPE_DIRECTORY,
	FLAG_CASEFOLD,
	FLAG_ENCRYPT,
	FLAG_EXTENTS,
	FLAG_INLINE_DATA,
	inodeLayout,
	S_IFBLK,
	S_IFCHR,
	S_IFDIR,
	S_IFIFO,
	S_IFLNK,
	S_IFMT,
	S_IFREG,
	S_IFSOCK,
} from './layout.ts';
import { MappedRanges } from './mapped-ranges.ts';
import { type Patch, PatchedDevice } from './patched-device.ts';
import type { Superblock } from './superblock.ts';

const CACHE_BYTES = 4 << 20;
/** What an inode has room for. */
const ROOT_ENTRIES = 4;
const MAX_LINKS = 65000; // EXT4_LINK_MAX
/** With an index, a name takes three. */
const MAX_BLOCKS_READ = 1 << 18;

/** The volume with the fast commits carried out. */
export interface Edits {
	readonly device: BlockDevice;
	/** By inode number. */
	readonly remapped: ReadonlyMap<number, MappedRanges>;
	readonly directories: ReadonlyMap<number, DirectoryEdits>;
}

/** `device` has the log's transactions replayed already. Errors: `corrupt`, `unsupported` for records that make no sense. */
export function carryOut(device: BlockDevice, superblock: Superblock, commits: readonly FastCommit[]): Edits {
	if (commits.length === 0) return { device, remapped: new Map(), directories: new Map() };
	const editor = new Editor(device, superblock);
	for (const commit of commits) editor.apply(commit);
	return editor.finish();
}

type RangeRecord = Extract<FastCommitRecord, { kind: 'map' }>;
type InodeRecord = Extract<FastCommitRecord, { kind: 'inode' }>;
type NameRecord = Pick<Extract<FastCommitRecord, { kind: 'link' | 'unlink' }>, 'directory' | 'inode' | 'name'>;

interface EditedInode extends Patch {
	/** Not that of the last transaction. */
	readonly isNew: boolean;
}

/** Every name is looked up: a damaged volume could make each of many records read a whole huge directory. */
class BoundedReader extends BlockReader {
	#left = MAX_BLOCKS_READ;

	override metadata(block: number, what: string, owner: number): Buffer {
		if (this.#left-- > 0) return super.metadata(block, what, owner);
		throw unsupported(
			'fast-commit-size',
			`journal: its fast commits take more than ${MAX_BLOCKS_READ} blocks of directories to be carried out; mount the volume once`,
		);
	}
}

class Editor {
	readonly #device: BlockDevice;
	readonly #superblock: Superblock;
	readonly #blocks: BlockReader;
	readonly #groups: GroupDescriptors;
	/** Names as the last transaction left them. */
	readonly #stored: Directories;
	readonly #inodes = new Map<number, EditedInode>();
	readonly #remapped = new Map<number, MappedRanges>();
	readonly #directories = new Map<number, DirectoryEdits>();

	constructor(device: BlockDevice, superblock: Superblock) {
		this.#device = device;
		this.#superblock = superblock;
		this.#blocks = new BoundedReader(superblock, device, { cache: new LineCache(CACHE_BYTES) });
		this.#groups = new GroupDescriptors(this.#blocks);
		this.#stored = new Directories(this.#blocks, new FileBlocks(this.#blocks));
	}

	/** Ranges belong to the inode that is logged after them: there may be another file of that number before it. */
	apply(commit: FastCommit): void {
		const ranges = new Map<number, RangeRecord[]>();
		const setRanges = (inode: number) => {
			for (const range of ranges.get(inode) ?? []) this.#rangesOf(inode).set(range);
			ranges.delete(inode);
		};
		for (const record of commit) {
			switch (record.kind) {
				case 'map':
					if (!ranges.get(record.inode)?.push(record)) ranges.set(record.inode, [record]);
					break;
				case 'inode':
					this.#setInode(record);
					setRanges(record.inode);
					break;
				case 'link':
					this.#link(record);
					break;
				case 'unlink':
					this.#unlink(record);
			}
		}
		for (const inode of ranges.keys()) setRanges(inode);
	}

	finish(): Edits {
		for (const edits of this.#directories.values()) for (const edited of edits.added) this.#settle(edits, edited);
		return {
			device: new PatchedDevice(this.#device, [...this.#inodes.values()]),
			remapped: this.#remapped,
			directories: this.#directories,
		};
	}

	/** All of the record is new but the block map, which the ranges tell. */
	#setInode({ inode: number, record: logged }: InodeRecord): void {
		const { at } = inodeLayout;
		const { bytes } = this.#editable(number, logged.readUInt32LE(at.generation));
		logged.copy(bytes, 0, 0, BLOCK_AT);
		logged.copy(bytes, at.generation, at.generation);
		const type = logged.readUInt16LE(at.mode) & S_IFMT;
		const flags = logged.readUInt32LE(at.flags);
		if (flags & FLAG_EXTENTS) {
			const { magic } = extentHeaderLayout.decode(bytes, BLOCK_AT);
			if (magic !== EXTENT_MAGIC) writeEmptyRoot(bytes);
		} else if (flags & FLAG_INLINE_DATA || (type !== S_IFREG && type !== S_IFDIR)) {
			logged.copy(bytes, BLOCK_AT, BLOCK_AT, at.generation);
		}
		this.#seal(number, bytes);
	}

	/** A record to change. One of another generation than the one that is there is that of a new file. */
	#editable(number: number, generation?: number): EditedInode {
		const known = this.#inodes.get(number);
		const { bytes, byteOffset } = known ?? this.#storedRecord(number);
		const isSame = generation === undefined || isInUse(bytes, generation);
		if (known && isSame) return known;
		const edited = { byteOffset, bytes: isSame ? Buffer.from(bytes) : Buffer.alloc(bytes.length), isNew: !isSame };
		this.#inodes.set(number, edited);
		if (!isSame) {
			this.#remapped.delete(number);
			this.#directories.delete(number);
		}
		return edited;
	}

	#seal(number: number, record: Buffer): void {
		if (this.#superblock.features.has('metadata_csum') && !this.#superblock.isHurd)
			sealInode(this.#superblock, number, record);
	}

	#rangesOf(inode: number): MappedRanges {
		let ranges = this.#remapped.get(inode);
		if (!ranges) {
			ranges = new MappedRanges();
			this.#remapped.set(inode, ranges);
		}
		return ranges;
	}

	#link({ directory, inode, name }: NameRecord): void {
		const target = this.#inode(inode);
		const isNewDirectory = target && isDirectory(target) && this.#inodes.get(inode)?.isNew;
		if (isNewDirectory && !this.#directories.has(inode)) this.#makeDirectory(target, directory);
		this.#setName(directory, name, inode);
	}

	/** Unless the name is another file's by now. */
	#unlink({ directory, inode, name }: NameRecord): void {
		const parent = this.#inode(directory);
		if (!parent || !isDirectory(parent) || this.#lookup(parent, name) !== inode) return;
		this.#setName(directory, name, 0);
		if (this.#linksToParent(inode) > 0) this.#removeDirectory(inode);
	}

	/** What its blocks hold was not logged. */
	#makeDirectory({ number, flags }: Inode, parent: number): void {
		const edits = new DirectoryEdits({ isNew: true, folds: foldsNames(flags) });
		edits.set({ name: DOT, inode: number, fileType: FILE_TYPE_DIRECTORY });
		edits.set({ name: DOT_DOT, inode: parent, fileType: FILE_TYPE_DIRECTORY });
		this.#directories.set(number, edits);
		const { bytes } = this.#editable(number);
		bytes.writeUInt16LE(2, inodeLayout.at.linkCount);
		this.#seal(number, bytes);
	}

	/** Its number may be that of a file next. */
	#removeDirectory(number: number): void {
		this.#editable(number).bytes.fill(0);
		this.#directories.delete(number);
	}

	/** Gives a name to an inode, or with inode 0 takes it away; nothing in what is no directory, as the kernel. */
	#setName(directory: number, name: Buffer, inode: number): void {
		const parent = this.#inode(directory);
		if (!parent || !isDirectory(parent)) return;
		checkName(parent, name);
		const old = this.#lookup(parent, name) ?? 0;
		if (old === inode) return;
		let edits = this.#directories.get(directory);
		if (!edits) {
			edits = new DirectoryEdits({ isNew: false, folds: foldsNames(parent.flags) });
			this.#directories.set(directory, edits);
		}
		edits.set({ name, inode, fileType: 0 });
		this.#addLinks(directory, this.#linksToParent(inode) - this.#linksToParent(old));
	}

	#lookup(directory: Inode, name: Buffer): number | undefined {
		const edits = this.#directories.get(directory.number);
		const edited = edits?.find(name);
		if (edited) return edited.inode === 0 ? undefined : edited.inode;
		return edits?.isNew ? undefined : this.#stored.lookup(directory, name);
	}

	/** A subdirectory's "..". */
	#linksToParent(number: number): 0 | 1 {
		const inode = number === 0 ? undefined : this.#inode(number);
		return inode && isDirectory(inode) ? 1 : 0;
	}

	/** A link count of 1 stands for more than can be counted (feature dir_nlink). */
	#addLinks(number: number, change: number): void {
		if (change === 0) return;
		const { bytes } = this.#editable(number);
		const old = bytes.readUInt16LE(inodeLayout.at.linkCount);
		if (old === 1) return;
		const links = Math.max(2, old + change);
		bytes.writeUInt16LE(links > MAX_LINKS ? 1 : links, inodeLayout.at.linkCount);
		this.#seal(number, bytes);
	}

	/** Completes a name with its type. An inode may have been logged behind its name; one that never came has no name. */
	#settle(edits: DirectoryEdits, { name, inode: number }: EditedName): void {
		const inode = this.#inode(number);
		edits.set(inode ? { name, inode: number, fileType: fileTypeOf(inode) } : { name, inode: 0, fileType: 0 });
	}

	/** The inode as it is by now; undefined where there is none that can be read. */
	#inode(number: number): Inode | undefined {
		try {
			return new Inode(this.#superblock, number, (this.#inodes.get(number) ?? this.#storedRecord(number)).bytes);
		} catch (error) {
			if (error instanceof NoonmarkError && error.family === 'corrupt') return undefined;
			throw error;
		}
	}

	#storedRecord(number: number): Patch {
		const { record, byteOffset } = readInodeRecord(this.#blocks, this.#groups, number);
		return { byteOffset, bytes: record };
	}
}

const foldsNames = (flags: number) => (flags & FLAG_CASEFOLD) !== 0;

const isInUse = (record: Buffer, generation: number) =>
	record.readUInt32LE(inodeLayout.at.generation) === generation &&
	record.readUInt16LE(inodeLayout.at.linkCount) !== 0 &&
	record.readUInt16LE(inodeLayout.at.mode) !== 0;

function writeEmptyRoot(record: Buffer): void {
	record.fill(0, BLOCK_AT, inodeLayout.at.generation);
	extentHeaderLayout.encode({ magic: EXTENT_MAGIC, maxEntries: ROOT_ENTRIES }, record, BLOCK_AT);
}

/** No name like this comes from a kernel. */
function checkName(parent: Inode, name: Buffer): void {
	if (parent.flags & FLAG_ENCRYPT) {
		throw unsupported('fast-commit-encrypted', `journal: a fast commit in the encrypted directory ${parent.number}`);
	}
	if (!isPresentable(name) || isDot(name) || isDotDot(name)) {
		const shown = JSON.stringify(name.toString('latin1'));
		throw corrupt('fast-commit-name', `journal: a fast commit names ${shown} in directory ${parent.number}`);
	}
}

/** EXT4_FT_… */
function fileTypeOf({ mode }: Inode): number {
	return [S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK].indexOf(mode & S_IFMT) + 1;
}
