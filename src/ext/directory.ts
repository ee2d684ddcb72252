import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import { isDirectoryBlockSound } from './directory-checksum.ts';
import { isNamed, NAME_AT, type RawEntryVisitor, walkEntries } from './directory-entry.ts';
import type { FileBlocks } from './file-blocks.ts';
import { INLINE_IN_BLOCK_FIELD_BYTES, inlineContent } from './inline-data.ts';
import { type Inode, isDirectory } from './inode.ts';
import { directoryEntryLayout, FILE_TYPE_DIRECTORY, FLAG_INLINE_DATA, MAX_FILE_TYPE } from './layout.ts';

/**
 * Gets an entry; returns false to stop before it is consumed. `name` is a view, valid only during the call. `fileType`
 * is 1 to 7 as in the directory (EXT4_FT_…), or 0 where it does not say. `nextPosition` continues after this entry.
 */
export type EntryVisitor = (name: Uint8Array, inodeNumber: number, fileType: number, nextPosition: number) => boolean;

const { at } = directoryEntryLayout;

/**
 * Directories as lists of entries. Their index (htree) is made so that a reader of lists sees its blocks as unused
 * entries; so reading all blocks in their order is right for every directory.
 *
 * A position is 0, or the byte in the directory where the next entry starts. In a directory inside its inode the first
 * two entries are not stored: their positions are 0 and 1.
 */
export class Directories {
	readonly #blocks: BlockReader;
	readonly #files: FileBlocks;
	readonly #hasTypes: boolean;

	constructor(blocks: BlockReader, files: FileBlocks) {
		this.#blocks = blocks;
		this.#files = files;
		this.#hasTypes = blocks.superblock.features.has('filetype');
	}

	/** Errors: `corrupt` at the first entry that is not sound, after those before it were visited. */
	read(directory: Inode, position: number, visit: EntryVisitor): void {
		if (directory.flags & FLAG_INLINE_DATA) {
			this.#readInline(directory, position, visit);
			return;
		}
		const { blockSizeBytes } = this.#blocks.superblock;
		const blockCount = this.#blockCount(directory);
		for (let fileBlock = Math.floor(position / blockSizeBytes); fileBlock < blockCount; fileBlock++) {
			const start = fileBlock * blockSizeBytes;
			const bytes = this.#block(directory, fileBlock);
			const goOn = walkEntries(bytes, 0, bytes.length, directory.number, start, (entry, next) =>
				start + entry < position ? true : this.#show(directory, bytes, entry, start + next, visit),
			);
			if (!goOn) return;
		}
	}

	/** The inode number that the name has in this directory. */
	lookup(directory: Inode, name: Uint8Array): number | undefined {
		if (directory.flags & FLAG_INLINE_DATA) return this.#lookupInline(directory, name);
		const blockCount = this.#blockCount(directory);
		const { blockSizeBytes } = this.#blocks.superblock;
		let found: number | undefined;
		for (let fileBlock = 0; fileBlock < blockCount && found === undefined; fileBlock++) {
			const bytes = this.#block(directory, fileBlock);
			walkEntries(bytes, 0, bytes.length, directory.number, fileBlock * blockSizeBytes, (entry) => {
				if (isNamed(bytes, entry, name)) found = bytes.readUInt32LE(entry + at.inode);
				return found === undefined;
			});
		}
		return found;
	}

	#show(directory: Inode, bytes: Buffer, entry: number, nextPosition: number, visit: EntryVisitor): boolean {
		const name = bytes.subarray(entry + NAME_AT, entry + NAME_AT + bytes[entry + at.nameLength]!);
		if (!isPresentable(name)) {
			throw corrupt(
				'directory-name',
				`directory inode ${directory.number}: the entry that ends at byte ${nextPosition} is named ${JSON.stringify(name.toString('latin1'))}`,
			);
		}
		const type = this.#hasTypes ? bytes[entry + at.fileType]! : 0;
		return visit(name, bytes.readUInt32LE(entry + at.inode), type <= MAX_FILE_TYPE ? type : 0, nextPosition);
	}

	#blockCount(directory: Inode): number {
		if (!isDirectory(directory)) throw corrupt('not-a-directory', `inode ${directory.number}: is no directory`);
		const { blockSizeBytes, blockCount } = this.#blocks.superblock;
		const count = directory.sizeBytes / blockSizeBytes;
		if (!Number.isInteger(count) || count === 0 || count > blockCount) {
			throw corrupt(
				'directory-size',
				`directory inode ${directory.number}: has ${directory.sizeBytes} bytes, in a volume of ${blockCount} blocks of ${blockSizeBytes}`,
			);
		}
		return count;
	}

	#block(directory: Inode, fileBlock: number): Buffer {
		const { block } = this.#files.runAt(directory, fileBlock);
		if (block === 0)
			throw corrupt('directory-hole', `directory inode ${directory.number}: its block ${fileBlock} is a hole`);
		const bytes = this.#blocks.metadata(block, 'directory block', directory.number);
		if (this.#blocks.superblock.features.has('metadata_csum')) {
			this.#blocks.verifyOnce(block, directory.number, 'directory block', () =>
				isDirectoryBlockSound(this.#blocks.superblock, directory, fileBlock, bytes),
			);
		}
		return bytes;
	}

	#readInline(directory: Inode, position: number, visit: EntryVisitor): void {
		const content = inlineContent(directory);
		if (position < 1 && !visit(DOT, directory.number, FILE_TYPE_DIRECTORY, 1)) return;
		if (position < 2 && !visit(DOT_DOT, content.readUInt32LE(0), FILE_TYPE_DIRECTORY, 2)) return;
		walkInline(content, directory.number, (entry, next) =>
			entry < position ? true : this.#show(directory, content, entry, next, visit),
		);
	}

	#lookupInline(directory: Inode, name: Uint8Array): number | undefined {
		if (DOT.equals(name)) return directory.number;
		const content = inlineContent(directory);
		if (DOT_DOT.equals(name)) return content.readUInt32LE(0);
		let found: number | undefined;
		walkInline(content, directory.number, (entry) => {
			if (isNamed(content, entry, name)) found = content.readUInt32LE(entry + at.inode);
			return found === undefined;
		});
		return found;
	}
}

const DOT = Buffer.from('.');
const DOT_DOT = Buffer.from('..');
const PARENT_BYTES = 4;

/** The first four bytes are the parent's number; entries never cross from i_block to the attribute. */
function walkInline(content: Buffer, owner: number, visit: RawEntryVisitor): void {
	const middle = INLINE_IN_BLOCK_FIELD_BYTES;
	const goOn = walkEntries(content, PARENT_BYTES, middle, owner, 0, visit);
	if (goOn) walkEntries(content, middle, content.length, owner, 0, visit);
}

/** No path can hold an empty name, a slash or a NUL; the kernel's readdir answers EIO for them. */
function isPresentable(name: Uint8Array): boolean {
	for (let i = 0; i < name.length; i++) if (name[i] === 0x2f || name[i] === 0) return false;
	return name.length > 0;
}
