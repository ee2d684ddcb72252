/**
 * A directory's index: a tree of at most three levels that is sorted by the hash of the names, and leads to the one
 * block that may hold a name (fs/ext4/namei.c, dx_probe). It is hidden in blocks of the directory that look empty to who
 * does not know it, its root behind the entries "." and "..".
 *
 * It only ever saves time. Whatever about it is not as expected (a hash function unknown here, a limit that does not fit)
 * makes `candidateBlocks` give up, and its caller reads all blocks.
 */
import { struct, u8, u16le, u32le } from '../bytes/struct.ts';
import { nameHasher } from './name-hash.ts';
import type { Superblock } from './superblock.ts';

const rootInfoLayout = struct('htree root', 32, {
	reserved: u32le(0x18), // dx_root_info.reserved_zero
	hashVersion: u8(0x1c), // dx_root_info.hash_version
	infoBytes: u8(0x1d), // dx_root_info.info_length
	levels: u8(0x1e), // dx_root_info.indirect_levels
	flags: u8(0x1f), // dx_root_info.unused_flags
});
const countLayout = struct('htree count', 4, { limit: u16le(0x0), count: u16le(0x2) }); // dx_countlimit
const entryLayout = struct('htree entry', 8, { hash: u32le(0x0), block: u32le(0x4) }); // dx_entry

const ROOT_ENTRIES_AT = rootInfoLayout.sizeBytes;
const NODE_ENTRIES_AT = 8;
const ROOT_INFO_BYTES = 8;
const TAIL_BYTES = 8;
const BLOCK_MASK = 0x0fffffff;
const ENTRY_BYTES = entryLayout.sizeBytes;

/** A node on the way down, and the entry in it that was taken. */
interface Step {
	readonly bytes: Buffer;
	readonly entriesAt: number;
	readonly count: number;
	index: number;
}

/** Gives a block of the directory by its number in it; undefined past the directory's end. */
export type BlockOfDirectory = (fileBlock: number) => Buffer | undefined;

/** A name's hash may have run over into so many blocks. */
const MAX_CANDIDATES = 1024;

/** The version of the hash function in the root of an index. */
export const hashVersionOfRoot = (root: Buffer) => rootInfoLayout.decode(root).hashVersion;

/** The directory's blocks that can hold the name, in order: nearly always one. Undefined where only reading all will do. */
export function candidateBlocks(
	superblock: Superblock,
	readBlock: BlockOfDirectory,
	name: Uint8Array,
): number[] | undefined {
	if (!superblock.hashSignIsKnown) return undefined;
	const root = readBlock(0);
	if (!root) return undefined;
	const info = rootInfoLayout.decode(root);
	const maxLevels = superblock.features.has('large_dir') ? 2 : 1;
	const hash = nameHasher(info.hashVersion, superblock.hashSeed, superblock.hashIsUnsigned);
	if (!hash || info.infoBytes !== ROOT_INFO_BYTES || info.levels > maxLevels || info.flags & 1) return undefined;
	const { major } = hash(name);

	const path: Step[] = [];
	let step = stepInto(superblock, root, ROOT_ENTRIES_AT, major);
	for (let level = 0; ; level++) {
		if (!step) return undefined;
		path.push(step);
		if (level === info.levels) break;
		step = stepInto(superblock, readBlock(blockOf(step)), NODE_ENTRIES_AT, major);
	}
	const blocks = [blockOf(path.at(-1)!)];
	// Names with the same hash may have run over into the next blocks: those say so with the same hash, lowest bit set.
	while (advance(superblock, readBlock, path, major)) {
		if (blocks.length === MAX_CANDIDATES) return undefined;
		blocks.push(blockOf(path.at(-1)!));
	}
	return blocks;
}

/** Finds the last entry whose hash is not above the wanted one; undefined where the node does not look like one. */
function stepInto(
	superblock: Superblock,
	bytes: Buffer | undefined,
	entriesAt: number,
	wanted: number,
): Step | undefined {
	if (!bytes) return undefined;
	const { limit, count } = countLayout.decode(bytes, entriesAt);
	const tail = superblock.features.has('metadata_csum') ? TAIL_BYTES : 0;
	const expected = Math.floor((bytes.length - entriesAt - tail) / ENTRY_BYTES);
	if (limit !== expected || count < 1 || count > limit) return undefined;
	// The first entry has no hash: in its place stand limit and count.
	let low = 1;
	let high = count;
	while (low < high) {
		const middle = (low + high) >>> 1;
		if (bytes.readUInt32LE(entriesAt + ENTRY_BYTES * middle) <= wanted) low = middle + 1;
		else high = middle;
	}
	return { bytes, entriesAt, count, index: low - 1 };
}

function blockOf({ bytes, entriesAt, index }: Step): number {
	return bytes.readUInt32LE(entriesAt + ENTRY_BYTES * index + entryLayout.at.block) & BLOCK_MASK;
}

/** Moves the path to the next leaf, if that continues the hash (ext4_htree_next_block). */
function advance(superblock: Superblock, readBlock: BlockOfDirectory, path: Step[], wanted: number): boolean {
	let level = path.length - 1;
	while (level >= 0 && path[level]!.index + 1 >= path[level]!.count) level--;
	if (level < 0) return false;
	const step = path[level]!;
	const next = step.bytes.readUInt32LE(step.entriesAt + ENTRY_BYTES * (step.index + 1));
	if (next !== (wanted | 1) >>> 0) return false;
	step.index++;
	for (level++; level < path.length; level++) {
		const below = stepInto(superblock, readBlock(blockOf(path[level - 1]!)), NODE_ENTRIES_AT, 0);
		if (!below) return false;
		path[level] = { ...below, index: 0 };
	}
	return true;
}
