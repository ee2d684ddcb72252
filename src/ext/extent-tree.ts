import { LRUCache } from 'lru-cache';
import { crc32c } from '../bytes/crc32c.ts';
import { corrupt } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import type { BlockRun } from './file-blocks.ts';
import { blockField, type Inode, inodeChecksumSeed } from './inode.ts';
import {
	EXTENT_MAGIC,
	extentHeaderLayout,
	extentIndexLayout,
	extentLayout,
	MAX_EXTENT_DEPTH,
	MAX_WRITTEN_EXTENT_BLOCKS,
} from './layout.ts';

const HEADER_BYTES = extentHeaderLayout.sizeBytes;
const ENTRY_BYTES = extentLayout.sizeBytes;
const MAX_FILE_BLOCKS = 2 ** 32;
const MAX_CACHED_NODES = 64;

/** A node, decoded and checked; entry i starts at file block `fileBlocks[i]`. */
interface Node {
	readonly owner: number;
	readonly depth: number;
	readonly fileBlocks: readonly number[];
	/** Leaves only. */
	readonly lengths: readonly number[];
	/** Leaves: where the extent's blocks are to be read, 0 where they are unwritten. Index nodes: the child. */
	readonly targets: readonly number[];
	/** Leaves: where the extent's blocks are, unwritten or not. Index nodes: the child. */
	readonly starts: readonly number[];
}

/** An extent as the tree has it. */
export interface Extent {
	readonly fileBlock: number;
	readonly block: number;
	readonly count: number;
	/** Its blocks are allocated, and read as zeros. */
	readonly isUnwritten: boolean;
}

/**
 * The map of a file with extents: a tree of sorted, disjoint ranges with its root in the inode
 * (fs/ext4/ext4_extents.h). A child must be exactly one level below its parent, so no cycle can be followed; within a
 * node every entry must begin after the one before it ends, so that looking up block after block always gets on.
 */
export class ExtentTree {
	readonly #blocks: BlockReader;
	readonly #nodes = new LRUCache<number, Node>({ max: MAX_CACHED_NODES });
	readonly #roots = new WeakMap<Inode, Node>();

	constructor(blocks: BlockReader) {
		this.#blocks = blocks;
	}

	/** The run that holds `fileBlock`, from there on. Errors: `corrupt` where the tree contradicts itself. */
	runAt(inode: Inode, fileBlock: number): BlockRun {
		// A damaged size can lie beyond what the tree can number: nothing is there.
		if (fileBlock >= MAX_FILE_BLOCKS) return { block: 0, count: Number.MAX_SAFE_INTEGER - fileBlock };
		let node = this.#root(inode);
		let end = MAX_FILE_BLOCKS;
		for (;;) {
			const index = lastAtOrBefore(node.fileBlocks, fileBlock);
			end = Math.min(end, node.fileBlocks[index + 1] ?? MAX_FILE_BLOCKS);
			if (index < 0) return { block: 0, count: end - fileBlock };
			const target = node.targets[index]!;
			if (node.depth > 0) {
				node = this.#child(inode, target, node.depth - 1);
				continue;
			}
			const into = fileBlock - node.fileBlocks[index]!;
			const left = node.lengths[index]! - into;
			if (left <= 0) return { block: 0, count: end - fileBlock };
			return { block: target === 0 ? 0 : target + into, count: Math.min(left, end - fileBlock) };
		}
	}

	/**
	 * Visits the tree from left to right, each index node before what is below it: `onNode` gets the block of a node
	 * below the root and its depth. Ends where a visitor returns false.
	 */
	visit(inode: Inode, onExtent: (extent: Extent) => boolean, onNode: (block: number, depth: number) => boolean): void {
		const walk = (node: Node): boolean =>
			node.starts.every((start, i) => {
				if (node.depth > 0) return onNode(start, node.depth - 1) && walk(this.#child(inode, start, node.depth - 1));
				const [fileBlock, count, isUnwritten] = [node.fileBlocks[i]!, node.lengths[i]!, node.targets[i] === 0];
				return onExtent({ fileBlock, block: start, count, isUnwritten });
			});
		walk(this.#root(inode));
	}

	#root(inode: Inode): Node {
		let root = this.#roots.get(inode);
		if (!root) {
			root = this.#decode(blockField(inode), inode, undefined, 'the extent tree root');
			this.#roots.set(inode, root);
		}
		return root;
	}

	#child(inode: Inode, block: number, depth: number): Node {
		const cached = this.#nodes.get(block);
		if (cached && cached.owner === inode.number && cached.depth === depth) return cached;
		const bytes = this.#blocks.metadata(block, 'extent tree node', inode.number);
		const node = this.#decode(bytes, inode, depth, `the extent tree node at block ${block}`);
		if (this.#blocks.superblock.features.has('metadata_csum')) {
			this.#blocks.verifyOnce(block, inode.number, 'extent tree node', () => this.#isChecksumRight(inode, bytes));
		}
		this.#nodes.set(block, node);
		return node;
	}

	#isChecksumRight(inode: Inode, bytes: Buffer): boolean {
		const seed = inodeChecksumSeed(this.#blocks.superblock, inode.number, inode.generation);
		const tail = HEADER_BYTES + ENTRY_BYTES * bytes.readUInt16LE(extentHeaderLayout.at.maxEntries);
		return crc32c(seed, bytes, 0, tail) === bytes.readUInt32LE(tail);
	}

	/** `depth` is what it must be; undefined for a root, which says it itself. */
	#decode(bytes: Buffer, inode: Inode, depth: number | undefined, where: string): Node {
		const header = extentHeaderLayout.decode(bytes);
		const fail = (what: string) => corrupt('extent-tree', `inode ${inode.number}: ${where}: ${what}`);
		const capacity = Math.floor((bytes.length - HEADER_BYTES) / ENTRY_BYTES);
		if (header.magic !== EXTENT_MAGIC)
			throw fail(`its magic number is 0x${header.magic.toString(16)}, expected 0xf30a`);
		if (header.maxEntries === 0 || header.maxEntries > capacity) {
			throw fail(`says it has room for ${header.maxEntries} entries, of at most ${capacity}`);
		}
		if (header.entryCount > header.maxEntries) {
			throw fail(`has ${header.entryCount} entries and room for ${header.maxEntries}`);
		}
		if (header.depth !== (depth ?? header.depth) || header.depth > MAX_EXTENT_DEPTH) {
			throw fail(`its depth is ${header.depth}, expected ${depth ?? `at most ${MAX_EXTENT_DEPTH}`}`);
		}
		if (header.entryCount === 0 && header.depth > 0) throw fail('has no entries, and is no leaf');
		const entries = header.depth > 0 ? decodeIndex(bytes, header.entryCount) : decodeLeaf(bytes, header.entryCount);
		for (let i = 0; i < header.entryCount; i++) {
			const start = entries.fileBlocks[i]!;
			const length = entries.lengths[i] ?? 1;
			const next = entries.fileBlocks[i + 1] ?? MAX_FILE_BLOCKS;
			if (length === 0) throw fail(`entry ${i} has no blocks`);
			if (start + length > next)
				throw fail(`entry ${i} (file block ${start}, ${length} blocks) runs into block ${next}`);
			this.#blocks.check(entries.starts[i]!, length, header.depth > 0 ? 'extent tree node' : 'extent', inode.number);
		}
		return { owner: inode.number, depth: header.depth, ...entries };
	}
}

/** Arrays of the size they need: one that grows makes room for 17 at first, and most files have one extent. */
type Entries = Pick<Node, 'fileBlocks' | 'lengths' | 'targets' | 'starts'>;

function decodeIndex(bytes: Buffer, count: number): Entries {
	const { at } = extentIndexLayout;
	const fileBlocks = new Array<number>(count);
	const targets = new Array<number>(count);
	for (let i = 0, entry = HEADER_BYTES; i < count; i++, entry += ENTRY_BYTES) {
		fileBlocks[i] = bytes.readUInt32LE(entry + at.fileBlock);
		targets[i] = bytes.readUInt32LE(entry + at.childLow) + bytes.readUInt16LE(entry + at.childHigh) * 2 ** 32;
	}
	return { fileBlocks, lengths: [], targets, starts: targets };
}

function decodeLeaf(bytes: Buffer, count: number): Entries {
	const { at } = extentLayout;
	const fileBlocks = new Array<number>(count);
	const lengths = new Array<number>(count);
	const targets = new Array<number>(count);
	const starts = new Array<number>(count);
	for (let i = 0, entry = HEADER_BYTES; i < count; i++, entry += ENTRY_BYTES) {
		const length = bytes.readUInt16LE(entry + at.length);
		const isUnwritten = length > MAX_WRITTEN_EXTENT_BLOCKS;
		const start = bytes.readUInt32LE(entry + at.startLow) + bytes.readUInt16LE(entry + at.startHigh) * 2 ** 32;
		fileBlocks[i] = bytes.readUInt32LE(entry + at.fileBlock);
		lengths[i] = isUnwritten ? length - MAX_WRITTEN_EXTENT_BLOCKS : length;
		targets[i] = isUnwritten ? 0 : start;
		starts[i] = start;
	}
	return { fileBlocks, lengths, targets, starts };
}

/** The index of the last value that is not above `wanted`, or -1. The values ascend. */
function lastAtOrBefore(values: readonly number[], wanted: number): number {
	let low = 0;
	let high = values.length;
	while (low < high) {
		const middle = (low + high) >>> 1;
		if (values[middle]! <= wanted) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}
