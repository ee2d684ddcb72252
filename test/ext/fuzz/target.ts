/** Where the structures of a sound image are, so that they can be damaged one by one. */
import { crc32c } from '../../../src/bytes/crc32c.ts';
import { NoonmarkError } from '../../../src/errors.ts';
import { visitBlockMap } from '../../../src/ext/block-map.ts';
import { ExtFileSystem, ROOT_INODE } from '../../../src/ext/filesystem.ts';
import { type Inode, isDirectory, isRegular, readInode, readInodeRecord } from '../../../src/ext/inode.ts';
import { JOURNAL_MAGIC, journalSuperblockLayout } from '../../../src/ext/journal-layout.ts';
import { FLAG_EXTENTS, FLAG_INLINE_DATA } from '../../../src/ext/layout.ts';
import { DamagedImage } from '../../helpers/damaged-image.ts';

export interface MetadataBlock {
	readonly block: number;
	readonly kind: 'extents' | 'pointers' | 'directory' | 'xattrs';
	readonly owner: Inode;
	/** Of a directory's block. */
	readonly fileBlock: number;
}

export interface Target {
	readonly image: DamagedImage;
	/** The volume as it lies on the disk, and how it looked when it was sound. */
	readonly fs: ExtFileSystem;
	readonly inodes: readonly { readonly number: number; readonly byteOffset: number }[];
	readonly blocks: readonly MetadataBlock[];
	readonly journal: JournalTarget;
}

/** Blocks of the volume that hold what the journal writes for itself: not the copies of other blocks. */
export interface JournalTarget {
	readonly checksumSeed: number;
	readonly ownBlocks: readonly number[];
	readonly fastCommitBlocks: readonly number[];
}

const MAX_INODES = 4000;
/** Enough of one file's: others are to have their turn. */
const MAX_BLOCKS_OF_A_FILE = 50;

export function makeTarget(sound: Buffer): Target {
	const image = new DamagedImage(sound);
	const fs = ExtFileSystem.open(image, { replayJournal: false });
	const inodes: { number: number; byteOffset: number }[] = [];
	const blocks: MetadataBlock[] = [];
	const queue = [ROOT_INODE];
	const seen = new Set<number>();
	for (let number = queue.pop(); number !== undefined && inodes.length < MAX_INODES; number = queue.pop()) {
		if (seen.has(number)) continue;
		seen.add(number);
		try {
			const inode = fs.readInode(number);
			inodes.push({ number, byteOffset: readInodeRecord(fs.blocks, fs.groups, number).byteOffset });
			addBlocks(fs, inode, blocks);
			if (isDirectory(inode)) fs.readDirectory(inode, 0, (_, child) => queue.push(child) > 0);
		} catch (error) {
			// What is on the disk before the replay of a journal need not be sound.
			if (!(error instanceof NoonmarkError)) throw error;
		}
	}
	return { image, fs, inodes, blocks, journal: makeJournalTarget(fs, sound) };
}

function addBlocks(fs: ExtFileSystem, owner: Inode, blocks: MetadataBlock[]): void {
	if (owner.xattrBlock !== 0) blocks.push({ block: owner.xattrBlock, kind: 'xattrs', owner, fileBlock: 0 });
	if (owner.flags & FLAG_INLINE_DATA || !(isRegular(owner) || isDirectory(owner))) return;
	const isTree = (owner.flags & FLAG_EXTENTS) !== 0;
	const first = blocks.length;
	const addNode = (block: number) =>
		blocks.push({ block, kind: isTree ? 'extents' : 'pointers', owner, fileBlock: 0 }) - first < MAX_BLOCKS_OF_A_FILE;
	const goOn = () => true;
	if (isTree) fs.files.extents.visit(owner, goOn, addNode);
	else visitBlockMap(fs.blocks, owner, goOn, addNode);
	const count = isDirectory(owner) ? owner.sizeBytes / fs.superblock.blockSizeBytes : 0;
	for (let fileBlock = 0; fileBlock < Math.min(count, MAX_BLOCKS_OF_A_FILE); fileBlock++) {
		blocks.push({ block: fs.files.runAt(owner, fileBlock).block, kind: 'directory', owner, fileBlock });
	}
}

const FAST_COMMIT_TAG_HEAD = 9; // EXT4_FC_TAG_HEAD

function makeJournalTarget(fs: ExtFileSystem, sound: Buffer): JournalTarget {
	const { features, journalInode, blockSizeBytes } = fs.superblock;
	if (!features.has('has_journal') || journalInode === 0) {
		return { checksumSeed: 0, ownBlocks: [], fastCommitBlocks: [] };
	}
	const inode = readInode(fs.blocks, fs.groups, journalInode);
	const count = inode.sizeBytes / blockSizeBytes;
	const blocks = Array.from({ length: count }, (_, fileBlock) => fs.files.runAt(inode, fileBlock).block);
	const wordBE = (block: number) => sound.readUInt32BE(block * blockSizeBytes);
	const tagLE = (block: number) => sound.readUInt16LE(block * blockSizeBytes);
	const head = blocks.findLastIndex((block) => tagLE(block) === FAST_COMMIT_TAG_HEAD);
	return {
		checksumSeed: crc32c(0xffffffff, journalSuperblockLayout.decode(sound, blocks[0]! * blockSizeBytes).uuid),
		ownBlocks: blocks.filter((block) => wordBE(block) === JOURNAL_MAGIC),
		fastCommitBlocks: head < 0 ? [] : blocks.slice(head).filter((block) => tagLE(block) !== 0),
	};
}
