import { corrupt, unsupported } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import { encodeNoKeyName, MIN_ENCRYPTED_NAME_BYTES } from './encrypted-name.ts';
import type { FileBlocks } from './file-blocks.ts';
import { inlineContent } from './inline-data.ts';
import { BLOCK_FIELD_BYTES, blockField, type Inode } from './inode.ts';
import { FLAG_ENCRYPT, FLAG_EXTENTS, FLAG_INLINE_DATA, inodeLayout } from './layout.ts';

/** A search for data or a hole looks at this many runs; past that it gives the answer that is always allowed. */
const MAX_SEARCHED_RUNS = 1 << 18;

/** The content of files and symbolic links. */
export class FileContent {
	readonly #blocks: BlockReader;
	readonly #files: FileBlocks;

	constructor(blocks: BlockReader, files: FileBlocks) {
		this.#blocks = blocks;
		this.#files = files;
	}

	/**
	 * Fills `into` from `byteOffset` on; returns how many bytes there were, fewer only at the end of the file.
	 * Errors: `unsupported` (`encrypted`) for content that only its key can show; `corrupt`; `io`.
	 */
	read(file: Inode, byteOffset: number, into: Uint8Array): number {
		if (file.flags & FLAG_ENCRYPT) {
			throw unsupported('encrypted', `inode ${file.number}: its content is encrypted, and only its key can show it`);
		}
		return this.#read(file, byteOffset, into);
	}

	#read(file: Inode, byteOffset: number, into: Uint8Array): number {
		if (file.flags & FLAG_EXTENTS && file.flags & FLAG_INLINE_DATA) {
			throw corrupt('inode-flags', `inode ${file.number}: says that its data is both inline and in extents`);
		}
		const length = Math.max(0, Math.min(into.length, file.sizeBytes - byteOffset));
		if (file.flags & FLAG_INLINE_DATA) {
			return copyInline(inlineContent(file), byteOffset, into.subarray(0, length));
		}
		const { blockSizeBytes } = this.#blocks.superblock;
		for (let done = 0; done < length; ) {
			const at = byteOffset + done;
			const inBlock = at % blockSizeBytes;
			const wanted = length - done;
			const run = this.#files.joinedRunAt(
				file,
				(at - inBlock) / blockSizeBytes,
				Math.ceil((inBlock + wanted) / blockSizeBytes),
			);
			const count = Math.min(wanted, run.count * blockSizeBytes - inBlock);
			const part = into.subarray(done, done + count);
			if (run.block === 0) part.fill(0);
			else this.#blocks.readData(run.block, inBlock, part, file.number);
			done += count;
		}
		return length;
	}

	/** The target of a symbolic link: i_size bytes, in i_block, in the inode's xattrs, or in a block. */
	readLink(symlink: Inode): Buffer {
		const { number } = symlink;
		const sizeBytes = storedTargetBytes(symlink);
		if (sizeBytes === 0 || sizeBytes >= this.#blocks.superblock.blockSizeBytes) {
			throw corrupt('symlink-size', `inode ${number}: a symbolic link of ${sizeBytes} bytes`);
		}
		if (symlink.flags & FLAG_ENCRYPT) return this.#readEncryptedLink(symlink.withSize(sizeBytes));
		if (this.isFastLink(symlink)) return fastTarget(symlink, sizeBytes);
		if (!(symlink.flags & FLAG_INLINE_DATA) && this.#files.runAt(symlink, 0).block === 0) {
			throw corrupt('symlink-hole', `inode ${number}: a symbolic link without a block for its target`);
		}
		const target = Buffer.alloc(sizeBytes);
		this.#read(symlink, 0, target);
		return target;
	}

	/** What the kernel shows without the key: the encrypted target in the form of a name (fscrypt_get_symlink). */
	#readEncryptedLink(symlink: Inode): Buffer {
		let stored = blockField(symlink).subarray(0, symlink.sizeBytes);
		if (!this.isFastLink(symlink)) {
			stored = Buffer.alloc(symlink.sizeBytes);
			this.#read(symlink, 0, stored);
		}
		const length = stored.length < 2 ? 0 : stored.readUInt16LE(0);
		if (length < MIN_ENCRYPTED_NAME_BYTES || 2 + length > stored.length) {
			throw corrupt(
				'symlink-size',
				`inode ${symlink.number}: an encrypted target of ${length} bytes in ${stored.length}`,
			);
		}
		return encodeNoKeyName(stored.subarray(2, 2 + length), { major: 0, minor: 0 });
	}

	/**
	 * Whether the target is in i_block. No flag says so. A link without blocks of its own must be; the blocks that are
	 * charged may be those of its xattrs. With values in inodes the count says nothing, and the size decides
	 * (fs/ext4/inode.c, ext4_inode_is_fast_symlink).
	 */
	isFastLink(symlink: Inode): boolean {
		if (symlink.flags & FLAG_INLINE_DATA) return false;
		const { superblock } = this.#blocks;
		if (superblock.features.has('ea_inode')) return storedTargetBytes(symlink) < BLOCK_FIELD_BYTES;
		const xattrBlocks512 =
			symlink.xattrBlock === 0 ? 0 : (superblock.blockSizeBytes * superblock.blocksPerCluster) / 512;
		return symlink.blocks512 === xattrBlocks512;
	}

	/**
	 * Where the next data or the next hole begins, at `byteOffset` or after it; the file's end is a hole. Undefined
	 * where lseek(2) says ENXIO: past the end, or no data before it. Extents never written are holes.
	 */
	seek(file: Inode, byteOffset: number, what: 'data' | 'hole'): number | undefined {
		if (byteOffset < 0 || byteOffset >= file.sizeBytes) return undefined;
		if (file.flags & FLAG_INLINE_DATA) return what === 'data' ? byteOffset : file.sizeBytes;
		const { blockSizeBytes } = this.#blocks.superblock;
		const endBlock = Math.ceil(file.sizeBytes / blockSizeBytes);
		let fileBlock = Math.floor(byteOffset / blockSizeBytes);
		for (let runs = 0; fileBlock < endBlock; runs++) {
			const run = this.#files.runAt(file, fileBlock);
			const isFound = run.block === 0 ? what === 'hole' : what === 'data';
			if (isFound || (runs >= MAX_SEARCHED_RUNS && what === 'data')) {
				return Math.max(byteOffset, fileBlock * blockSizeBytes);
			}
			if (runs >= MAX_SEARCHED_RUNS) break;
			fileBlock += run.count;
		}
		return what === 'hole' ? file.sizeBytes : undefined;
	}
}

/** The text ends just where the size says: otherwise either is damaged (fs/ext4/inode.c, __ext4_iget). */
function fastTarget(symlink: Inode, sizeBytes: number): Buffer {
	const target = blockField(symlink).subarray(0, sizeBytes + 1);
	if (target.indexOf(0) === sizeBytes) return Buffer.from(target.subarray(0, sizeBytes));
	throw corrupt(
		'symlink-size',
		`inode ${symlink.number}: a symbolic link of ${sizeBytes} bytes, which its target has not`,
	);
}

/** As the record says: the size of an encrypted link may be that of what is shown. */
function storedTargetBytes(symlink: Inode): number {
	return symlink.record.readUInt32LE(inodeLayout.at.sizeLow);
}

function copyInline(content: Buffer, byteOffset: number, into: Uint8Array): number {
	const there = content.subarray(byteOffset, byteOffset + into.length);
	into.set(there);
	into.fill(0, there.length);
	return into.length;
}
