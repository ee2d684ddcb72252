import { messageOf } from '../errors.ts';
import { isDot, isDotDot } from './directory-entry.ts';
import { type ExtFileSystem, ROOT_INODE } from './filesystem.ts';
import { type Inode, isDirectory, isRegular } from './inode.ts';
import { FLAG_INLINE_DATA, S_IFLNK, S_IFMT } from './layout.ts';

export interface TouchedFiles {
	/** Paths from the root; hard links by each of their names. */
	readonly paths: readonly string[];
	/** How many of the blocks are no content of a file or directory: metadata, free space. */
	readonly restCount: number;
}

/**
 * The files and directories that have content in any of these blocks, at most `pathsMax` of them. What cannot be read at
 * all counts as touched, and is named with the reason.
 */
export function filesInBlocks(fs: ExtFileSystem, blocks: ReadonlySet<number>, pathsMax: number): TouchedFiles {
	const walk = new Walk(
		fs,
		[...blocks].sort((a, b) => a - b),
		pathsMax,
	);
	walk.run();
	return { paths: walk.paths, restCount: blocks.size - walk.found.size };
}

class Walk {
	readonly paths: string[] = [];
	readonly found = new Set<number>();
	readonly #fs: ExtFileSystem;
	readonly #blocks: readonly number[];
	readonly #pathsMax: number;
	readonly #seenDirectories = new Set<number>();
	readonly #waiting: { readonly number: number; readonly path: string }[] = [{ number: ROOT_INODE, path: '/' }];

	/** The blocks ascend. */
	constructor(fs: ExtFileSystem, blocks: readonly number[], pathsMax: number) {
		this.#fs = fs;
		this.#blocks = blocks;
		this.#pathsMax = pathsMax;
	}

	run(): void {
		for (let next = this.#waiting.pop(); next; next = this.#waiting.pop()) {
			try {
				this.#visit(next.number, next.path);
			} catch (error) {
				this.#add(`${next.path} (cannot be read: ${messageOf(error)})`);
			}
		}
	}

	#visit(number: number, path: string): void {
		const inode = this.#fs.readInode(number);
		if (isDirectory(inode)) {
			if (this.#seenDirectories.has(number)) return;
			this.#seenDirectories.add(number);
		}
		if (this.#hasBlocks(inode) && this.#isTouched(inode)) this.#add(path);
		if (isDirectory(inode)) this.#list(inode, path);
	}

	#list(directory: Inode, path: string): void {
		const base = path === '/' ? path : `${path}/`;
		this.#fs.readDirectory(directory, 0, (name, number) => {
			if (!isDot(name) && !isDotDot(name)) {
				this.#waiting.push({ number, path: `${base}${Buffer.from(name).toString()}` });
			}
			return true;
		});
	}

	#hasBlocks(inode: Inode): boolean {
		if (inode.flags & FLAG_INLINE_DATA) return false;
		if ((inode.mode & S_IFMT) === S_IFLNK) return !this.#fs.isFastLink(inode);
		return isDirectory(inode) || isRegular(inode);
	}

	#isTouched(inode: Inode): boolean {
		const end = Math.ceil(inode.sizeBytes / this.#fs.superblock.blockSizeBytes);
		let isTouched = false;
		for (let fileBlock = 0; fileBlock < end; ) {
			const { block, count } = this.#fs.files.joinedRunAt(inode, fileBlock, end - fileBlock);
			if (block !== 0 && this.#findIn(block, count)) isTouched = true;
			fileBlock += count;
		}
		return isTouched;
	}

	/** Whether any of the blocks is in this run. */
	#findIn(start: number, count: number): boolean {
		let first = 0;
		for (let end = this.#blocks.length; first < end; ) {
			const middle = (first + end) >> 1;
			if (this.#blocks[middle]! < start) first = middle + 1;
			else end = middle;
		}
		let i = first;
		for (; i < this.#blocks.length && this.#blocks[i]! < start + count; i++) this.found.add(this.#blocks[i]!);
		return i > first;
	}

	#add(path: string): void {
		if (this.paths.length < this.#pathsMax) this.paths.push(path);
	}
}
