import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import { casefold } from './casefold.ts';
import { isDirectoryBlockSound } from './directory-checksum.ts';
import { type DirectoryEdits, readEdited } from './directory-edits.ts';
import {
	DOT,
	DOT_DOT,
	isDot,
	isDotDot,
	isNamed,
	NAME_AT,
	type RawEntryVisitor,
	walkEntries,
} from './directory-entry.ts';
import { encodeNoKeyName, MIN_ENCRYPTED_NAME_BYTES } from './encrypted-name.ts';
import type { FileBlocks } from './file-blocks.ts';
import { candidateBlocks, hashVersionOfRoot } from './htree.ts';
import { INLINE_IN_BLOCK_FIELD_BYTES, inlineContent } from './inline-data.ts';
import { type Inode, isDirectory } from './inode.ts';
import {
	directoryEntryLayout,
	FILE_TYPE_DIRECTORY,
	FLAG_CASEFOLD,
	FLAG_ENCRYPT,
	FLAG_INDEX,
	FLAG_INLINE_DATA,
	MAX_FILE_TYPE,
} from './layout.ts';
import { type NameHash, nameHasher } from './name-hash.ts';

/**
 * Gets an entry; returns false to stop before it is consumed. `name` is a view, valid only during the call. `fileType`
 * is 1 to 7 as in the directory (EXT4_FT_…), or 0 where it does not say. `nextPosition` continues after this entry.
 */
export type EntryVisitor = (name: Uint8Array, inodeNumber: number, fileType: number, nextPosition: number) => boolean;

const { at } = directoryEntryLayout;

/** Inodes are announced that so many bytes of a directory name: at first few, later as many again as were listed. */
const ANNOUNCED_BYTES_MIN = 1 << 16;
const ANNOUNCED_BYTES_MAX = 1 << 18;
/** Directories that are being listed. */
const LISTED_MAX = 64;

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
	readonly #edited: ReadonlyMap<number, DirectoryEdits>;
	readonly #announceInodes: (inodeNumbers: readonly number[]) => void;
	/** By directory, the blocks whose inodes were announced last. */
	readonly #announced = new Map<number, { readonly first: number; readonly end: number }>();

	/**
	 * `edited` has what fast commits say of some directories, by inode number; `announceInodes` is told of inodes that the
	 * caller of `read` will read.
	 */
	constructor(
		blocks: BlockReader,
		files: FileBlocks,
		edited: ReadonlyMap<number, DirectoryEdits> = new Map(),
		announceInodes: (inodeNumbers: readonly number[]) => void = () => {},
	) {
		this.#blocks = blocks;
		this.#files = files;
		this.#edited = edited;
		this.#announceInodes = announceInodes;
		this.#hasTypes = blocks.superblock.features.has('filetype');
	}

	/** Errors: `corrupt` at the first entry that is not sound, after those before it were visited. */
	read(directory: Inode, position: number, visit: EntryVisitor, withInodes = false): void {
		const edits = this.#edited.get(directory.number);
		if (edits) readEdited(edits, position, visit, (show) => this.#readStored(directory, position, show, withInodes));
		else this.#readStored(directory, position, visit, withInodes);
	}

	#readStored(directory: Inode, position: number, visit: EntryVisitor, withInodes: boolean): void {
		if (directory.flags & FLAG_INLINE_DATA) {
			this.#readInline(directory, position, visit);
			return;
		}
		const { blockSizeBytes } = this.#blocks.superblock;
		const blockCount = this.#blockCount(directory);
		const first = Math.floor(position / blockSizeBytes);
		if (position === 0) this.#announced.delete(directory.number);
		for (const fileBlock of this.#storedBlocks(directory, first, blockCount)) {
			if (withInodes) this.#announce(directory, fileBlock, blockCount);
			const start = fileBlock * blockSizeBytes;
			const bytes = this.#block(directory, fileBlock);
			const goOn = walkEntries(bytes, 0, bytes.length, directory.number, start, (entry, next) =>
				start + entry < position ? true : this.#show(directory, bytes, entry, start + next, visit),
			);
			if (!goOn) return;
		}
	}

	/** Announces the inodes that blocks from `first` on name, unless that was just done. */
	#announce(directory: Inode, first: number, blockCount: number): void {
		const last = this.#announced.get(directory.number);
		if (last && first >= last.first && first < last.end) return;
		if (this.#announced.size >= LISTED_MAX) this.#announced.clear();
		const { blockSizeBytes } = this.#blocks.superblock;
		const bytes = Math.min(Math.max(ANNOUNCED_BYTES_MIN, first * blockSizeBytes), ANNOUNCED_BYTES_MAX);
		const end = Math.min(blockCount, first + bytes / blockSizeBytes);
		this.#announced.set(directory.number, { first, end });
		const inodeNumbers: number[] = [];
		try {
			for (const fileBlock of this.#storedBlocks(directory, first, end)) {
				const block = this.#block(directory, fileBlock);
				walkEntries(block, 0, block.length, directory.number, 0, (entry) => {
					inodeNumbers.push(block.readUInt32LE(entry + at.inode));
					return true;
				});
			}
		} catch {
			// Who lists that far is told what is wrong.
		}
		this.#announceInodes(inodeNumbers);
	}

	/**
	 * The inode number that the name has in this directory: byte for byte, or in any spelling where the directory folds
	 * case. In an encrypted directory it is a name as `read` shows it.
	 */
	lookup(directory: Inode, name: Uint8Array): number | undefined {
		const edits = this.#edited.get(directory.number);
		const edited = edits?.find(name);
		if (edited) return edited.inode === 0 ? undefined : edited.inode;
		return edits?.isNew ? undefined : this.#lookupStored(directory, name);
	}

	#lookupStored(directory: Inode, name: Uint8Array): number | undefined {
		if (directory.flags & FLAG_ENCRYPT) return this.#lookupShown(directory, name);
		const wanted = { bytes: name, folded: directory.flags & FLAG_CASEFOLD ? casefold(name) : undefined };
		if (directory.flags & FLAG_INLINE_DATA) return lookupInline(directory, wanted);
		const blockCount = this.#blockCount(directory);
		const indexed = this.#indexedBlocks(directory, blockCount, wanted);
		if (indexed) {
			for (const fileBlock of indexed) {
				const found = this.#lookupInBlock(directory, fileBlock, wanted);
				if (found !== undefined) return found;
			}
			return undefined;
		}
		for (const fileBlock of this.#storedBlocks(directory, 0, blockCount)) {
			const found = this.#lookupInBlock(directory, fileBlock, wanted);
			if (found !== undefined) return found;
		}
		return undefined;
	}

	/** Where the directory's index says that the name can be; undefined where it has none, or none that is of use. */
	#indexedBlocks(directory: Inode, blockCount: number, { bytes, folded }: WantedName): number[] | undefined {
		const { superblock } = this.#blocks;
		const isIndexed = directory.flags & FLAG_INDEX && superblock.features.has('dir_index') && blockCount > 1;
		// The dots are not in the index. Of a name that cannot be folded it is not sure what was hashed.
		const isSure = folded !== undefined || !(directory.flags & FLAG_CASEFOLD);
		if (!isIndexed || !isSure || isDot(bytes) || isDotDot(bytes)) return undefined;
		const blocks = candidateBlocks(
			superblock,
			(fileBlock) => (fileBlock < blockCount ? this.#block(directory, fileBlock) : undefined),
			folded ?? bytes,
		);
		return blocks?.every((fileBlock) => fileBlock < blockCount) ? blocks : undefined;
	}

	#lookupInBlock(directory: Inode, fileBlock: number, name: WantedName): number | undefined {
		const bytes = this.#block(directory, fileBlock);
		let found: number | undefined;
		walkEntries(bytes, 0, bytes.length, directory.number, fileBlock * bytes.length, (entry) => {
			if (matches(bytes, entry, name)) found = bytes.readUInt32LE(entry + at.inode);
			return found === undefined;
		});
		return found;
	}

	/** By the names that `read` shows, which are not those on the disk. */
	#lookupShown(directory: Inode, name: Uint8Array): number | undefined {
		let found: number | undefined;
		this.read(directory, 0, (shown, inodeNumber) => {
			if (Buffer.compare(shown, name) === 0) found = inodeNumber;
			return found === undefined;
		});
		return found;
	}

	#show(directory: Inode, bytes: Buffer, entry: number, nextPosition: number, visit: EntryVisitor): boolean {
		const stored = bytes.subarray(entry + NAME_AT, entry + NAME_AT + bytes[entry + at.nameLength]!);
		const name = directory.flags & FLAG_ENCRYPT ? this.#noKeyName(directory, bytes, entry, stored) : stored;
		if (!isPresentable(name)) {
			throw corrupt(
				'directory-name',
				`directory inode ${directory.number}: the entry that ends at byte ${nextPosition} is named ${JSON.stringify(name.toString('latin1'))}`,
			);
		}
		const type = this.#hasTypes ? bytes[entry + at.fileType]! : 0;
		return visit(name, bytes.readUInt32LE(entry + at.inode), type <= MAX_FILE_TYPE ? type : 0, nextPosition);
	}

	#noKeyName(directory: Inode, bytes: Buffer, entry: number, stored: Buffer): Buffer {
		if (isDot(stored) || isDotDot(stored)) return stored;
		if (stored.length < MIN_ENCRYPTED_NAME_BYTES) {
			throw corrupt(
				'directory-name',
				`directory inode ${directory.number}: an encrypted name of ${stored.length} bytes`,
			);
		}
		return encodeNoKeyName(stored, this.#shownHash(directory, bytes, entry, stored));
	}

	/** The kernel finds a name without its key by its hash: stored with folded names, else computed, else zero. */
	#shownHash(directory: Inode, bytes: Buffer, entry: number, stored: Buffer): NameHash {
		if (directory.flags & FLAG_CASEFOLD) {
			const hashAt = entry + ((NAME_AT + stored.length + 3) & ~3);
			return hashAt + 8 > bytes.length
				? NO_HASH
				: { major: bytes.readUInt32LE(hashAt), minor: bytes.readUInt32LE(hashAt + 4) };
		}
		const { features, hashSeed, hashVersion, hashIsUnsigned, blockSizeBytes } = this.#blocks.superblock;
		const isIndexed = (directory.flags & FLAG_INDEX) !== 0;
		const isOneBlock = directory.sizeBytes === blockSizeBytes || (directory.flags & FLAG_INLINE_DATA) !== 0;
		if (!features.has('dir_index') || !(isIndexed || isOneBlock)) return NO_HASH;
		const version = isIndexed ? hashVersionOfRoot(this.#block(directory, 0)) : hashVersion;
		return nameHasher(version, hashSeed, hashIsUnsigned)?.(stored) ?? NO_HASH;
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

	/** The blocks from `first` to before `end` that are no holes: the kernel passes over those. */
	*#storedBlocks(directory: Inode, first: number, end: number): Generator<number> {
		for (let fileBlock = first; fileBlock < end; ) {
			const { block, count } = this.#files.runAt(directory, fileBlock);
			if (block !== 0) yield fileBlock;
			fileBlock += block === 0 ? count : 1;
		}
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
}

/** A name that is looked for; `folded` where the directory folds case and the name can be folded. */
interface WantedName {
	readonly bytes: Uint8Array;
	readonly folded: Buffer | undefined;
}

function matches(bytes: Buffer, entry: number, { bytes: name, folded }: WantedName): boolean {
	if (isNamed(bytes, entry, name)) return true;
	if (!folded) return false;
	const stored = bytes.subarray(entry + NAME_AT, entry + NAME_AT + bytes[entry + at.nameLength]!);
	return casefold(stored)?.equals(folded) ?? false;
}

const NO_HASH: NameHash = { major: 0, minor: 0 };
const PARENT_BYTES = 4;

/** The first four bytes are the parent's number; entries never cross from i_block to the attribute. */
function walkInline(content: Buffer, owner: number, visit: RawEntryVisitor): void {
	const middle = INLINE_IN_BLOCK_FIELD_BYTES;
	const goOn = walkEntries(content, PARENT_BYTES, middle, owner, 0, visit);
	if (goOn) walkEntries(content, middle, content.length, owner, 0, visit);
}

function lookupInline(directory: Inode, name: WantedName): number | undefined {
	if (isDot(name.bytes)) return directory.number;
	const content = inlineContent(directory);
	if (isDotDot(name.bytes)) return content.readUInt32LE(0);
	let found: number | undefined;
	walkInline(content, directory.number, (entry) => {
		if (matches(content, entry, name)) found = content.readUInt32LE(entry + at.inode);
		return found === undefined;
	});
	return found;
}

/** No path can hold an empty name, a slash or a NUL; the kernel's readdir answers EIO for them. */
export function isPresentable(name: Uint8Array): boolean {
	for (let i = 0; i < name.length; i++) if (name[i] === 0x2f || name[i] === 0) return false;
	return name.length > 0;
}
