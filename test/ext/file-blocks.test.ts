import test from 'ava';
import fc from 'fast-check';
import type { BlockDevice } from '../../src/block/device.ts';
import { LineCache } from '../../src/block/line-cache.ts';
import { BlockReader } from '../../src/ext/block-reader.ts';
import { FileBlocks } from '../../src/ext/file-blocks.ts';
import type { Inode } from '../../src/ext/inode.ts';
import type { Superblock } from '../../src/ext/superblock.ts';

const BLOCK_BYTES = 1024;
const VOLUME_BLOCKS = 4000;
const FIRST_MAP_BLOCK = 3000;
const superblock = {
	blockSizeBytes: BLOCK_BYTES,
	// More than there are bytes of: what is only mapped is not read.
	blockCount: 1 << 20,
	firstDataBlock: 1,
	features: new Set(),
} as unknown as Superblock;

/** Some blocks of a file: where on the disk, or nowhere, or allocated and never written. */
interface Run {
	readonly start: number;
	readonly count: number;
	readonly kind: 'data' | 'hole' | 'unwritten';
}

/** A file as its runs; some are adjacent on the disk. */
const files = fc.array(
	fc.record({
		start: fc.integer({ min: 2, max: 2500 }),
		count: fc.integer({ min: 1, max: 12 }),
		kind: fc.constantFrom('data' as const, 'hole' as const, 'unwritten' as const),
	}),
	{ maxLength: 120 },
);

/** Where each block of the file is, or 0 where it reads as zeros. */
const blocksOf = (runs: readonly Run[]) =>
	runs.flatMap(({ start, count, kind }) => Array.from({ length: count }, (_, i) => (kind === 'data' ? start + i : 0)));

/** The blocks that a map takes, on an otherwise empty volume. */
class MapWriter {
	readonly content = Buffer.alloc(VOLUME_BLOCKS * BLOCK_BYTES);
	#next = FIRST_MAP_BLOCK;

	allocate(): { block: number; bytes: Buffer } {
		const block = this.#next++;
		return { block, bytes: this.content.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES) };
	}

	reader(): FileBlocks {
		const { content } = this;
		const device: BlockDevice = {
			sizeBytes: content.length,
			read: (byteOffset, into) => void content.copy(into, 0, byteOffset, byteOffset + into.length),
			close: () => {},
		};
		return new FileBlocks(new BlockReader(superblock, device, { cache: new LineCache(1 << 20) }));
	}
}

function inodeWith(map: Buffer, flags: number): Inode {
	const record = Buffer.alloc(256);
	map.copy(record, 0x28);
	return { number: 12, generation: 0, flags, record } as Inode;
}

interface Child {
	readonly fileBlock: number;
	/** As it is stored. */
	readonly length: number;
	readonly target: number;
}

const UNWRITTEN = 32768;

/** Writes the entries into nodes of 84, those into nodes, until four or fewer are left for the root. */
function writeExtents(writer: MapWriter, runs: readonly Run[]): Buffer {
	let level: Child[] = [];
	let fileBlock = 0;
	for (const { start, count, kind } of runs) {
		const length = kind === 'unwritten' ? UNWRITTEN + count : count;
		if (kind !== 'hole') level.push({ fileBlock, length, target: start });
		fileBlock += count;
	}
	for (let depth = 0; ; depth++) {
		if (level.length <= 4) return writeNode(Buffer.alloc(60), depth, level);
		const above: Child[] = [];
		for (let first = 0; first < level.length; first += 84) {
			const { block, bytes } = writer.allocate();
			writeNode(bytes, depth, level.slice(first, first + 84));
			above.push({ fileBlock: level[first]!.fileBlock, length: 0, target: block });
		}
		level = above;
	}
}

function writeNode(bytes: Buffer, depth: number, children: readonly Child[]): Buffer {
	bytes.writeUInt16LE(0xf30a, 0);
	bytes.writeUInt16LE(children.length, 2);
	bytes.writeUInt16LE(Math.floor((bytes.length - 12) / 12), 4);
	bytes.writeUInt16LE(depth, 6);
	children.forEach(({ fileBlock, length, target }, i) => {
		const at = 12 + 12 * i;
		bytes.writeUInt32LE(fileBlock, at);
		if (depth === 0) bytes.writeUInt16LE(length, at + 4);
		bytes.writeUInt32LE(target, depth === 0 ? at + 8 : at + 4);
	});
	return bytes;
}

/** 12 direct pointers, then the trees of one, two and three levels. A tree without data is not there. */
function writeBlockMap(writer: MapWriter, blocks: readonly number[]): Buffer {
	const root = Buffer.alloc(60);
	for (let i = 0; i < 12; i++) root.writeUInt32LE(blocks[i] ?? 0, 4 * i);
	let first = 12;
	for (let levels = 1; levels <= 3; levels++) {
		root.writeUInt32LE(writePointers(writer, blocks, first, levels), 4 * (11 + levels));
		first += 256 ** levels;
	}
	return root;
}

function writePointers(writer: MapWriter, blocks: readonly number[], first: number, levels: number): number {
	if (levels === 0) return blocks[first] ?? 0;
	const span = 256 ** (levels - 1);
	const part = blocks.slice(first, first + 256 * span);
	if (part.every((block) => block === 0)) return 0;
	const { block, bytes } = writer.allocate();
	for (let i = 0; i < 256; i++) bytes.writeUInt32LE(writePointers(writer, blocks, first + i * span, levels - 1), 4 * i);
	return block;
}

/** Every run that is told from every block is what the list says, and reaches at least one block. */
function agrees(files: FileBlocks, inode: Inode, blocks: readonly number[]): boolean {
	for (let fileBlock = 0; fileBlock < blocks.length + 300; fileBlock++) {
		const run = files.runAt(inode, fileBlock);
		if (run.count < 1) return false;
		for (let i = 0; i < Math.min(run.count, 400); i++) {
			if ((blocks[fileBlock + i] ?? 0) !== (run.block === 0 ? 0 : run.block + i)) return false;
		}
	}
	return true;
}

const SEED = 20261124;

test('a file in extents is read back as it was written', (t) => {
	t.log(`seed ${SEED}`);
	const property = fc.property(files, (runs) => {
		const writer = new MapWriter();
		const inode = inodeWith(writeExtents(writer, runs), 0x80000);
		return agrees(writer.reader(), inode, blocksOf(runs));
	});
	t.notThrows(() => fc.assert(property, { seed: SEED, numRuns: 60 }));
});

test('a file in a block map is read back as it was written', (t) => {
	t.log(`seed ${SEED}`);
	const property = fc.property(files, (runs) => {
		const blocks = blocksOf(runs);
		const writer = new MapWriter();
		const inode = inodeWith(writeBlockMap(writer, blocks), 0);
		return agrees(writer.reader(), inode, blocks);
	});
	t.notThrows(() => fc.assert(property, { seed: SEED, numRuns: 60 }));
});

test('holes of a block map reach to where data is, from wherever they are asked for', (t) => {
	const starts = [3, 12, 12 + 200, 12 + 256, 12 + 256 + 700, 12 + 256 + 65536, 12 + 256 + 65536 + 300];
	const blocks = new Array<number>(starts.at(-1)! + 1).fill(0);
	for (const [i, start] of starts.entries()) blocks[start] = 100 + 10 * i;
	const writer = new MapWriter();
	const inode = inodeWith(writeBlockMap(writer, blocks), 0);
	const reader = writer.reader();
	for (const start of starts) {
		for (const fileBlock of [start, start - 1, start - 2, start - 100, start - 300].filter((at) => at >= 0)) {
			const { block, count } = reader.runAt(inode, fileBlock);
			const expected = Array.from({ length: count }, (_, i) => blocks[fileBlock + i] ?? 0);
			t.deepEqual(new Set(expected), new Set([block]), `${count} blocks from ${fileBlock} on`);
		}
	}
});

test('extents as long as they can be: 32768 blocks written, 32767 not', (t) => {
	const runs: Run[] = [
		{ start: 5, count: 32768, kind: 'data' },
		{ start: 40_000, count: 32767, kind: 'unwritten' },
		{ start: 80_000, count: 1, kind: 'data' },
	];
	const writer = new MapWriter();
	const inode = inodeWith(writeExtents(writer, runs), 0x80000);
	const reader = writer.reader();
	t.deepEqual(reader.runAt(inode, 0), { block: 5, count: 32768 });
	t.deepEqual(reader.runAt(inode, 32767), { block: 5 + 32767, count: 1 });
	t.deepEqual(reader.runAt(inode, 32768), { block: 0, count: 32767 });
	t.deepEqual(reader.runAt(inode, 65535), { block: 80_000, count: 1 });
	t.is(reader.runAt(inode, 65536).block, 0);
});

test('a tree as deep as it can be, and a deeper one', (t) => {
	for (const depth of [5, 6]) {
		const writer = new MapWriter();
		let child: Child = { fileBlock: 0, length: 7, target: 2000 };
		for (let level = 0; level < depth; level++) {
			const { block, bytes } = writer.allocate();
			writeNode(bytes, level, [child]);
			child = { fileBlock: 0, length: 0, target: block };
		}
		const inode = inodeWith(writeNode(Buffer.alloc(60), depth, [child]), 0x80000);
		const read = () => writer.reader().runAt(inode, 3);
		if (depth === 5) t.deepEqual(read(), { block: 2003, count: 4 });
		else t.throws(read, { code: 'extent-tree' });
	}
});

test('pointers of a block map that lead outside the volume, and blocks past what it can hold', (t) => {
	const map = (index: number) => {
		const root = Buffer.alloc(60);
		root.writeUInt32LE(superblock.blockCount, 4 * index);
		return inodeWith(root, 0);
	};
	const files = new MapWriter().reader();
	const firstOf = [12, 12 + 256, 12 + 256 + 256 ** 2];
	for (const [i, fileBlock] of firstOf.entries()) {
		t.throws(() => files.runAt(map(12 + i), fileBlock), { code: 'block-out-of-range' });
	}
	t.throws(() => files.runAt(map(0), 12 + 256 + 256 ** 2 + 256 ** 3), { code: 'block-map' });
});
