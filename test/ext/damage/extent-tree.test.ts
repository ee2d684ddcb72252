import { ExtFileSystem } from '../../../src/ext/filesystem.ts';
import { inodeAt } from '../../helpers/tree.ts';
import { isContained, it, read, type Scene, soundImage } from './scene.ts';

const ROOT_AT = 0x28;

/** The first leaf of an extent tree with levels. */
function firstLeaf({ image, fs, inode }: Scene): number {
	let block = inode.record.readUInt32LE(ROOT_AT + 16);
	const node = Buffer.alloc(fs.superblock.blockSizeBytes);
	for (;;) {
		image.read(block * node.length, node);
		if (node.readUInt16LE(6) === 0) return block;
		block = node.readUInt32LE(16);
	}
}

const FRAGMENTED = 'sparse/fragmented';
it(
	'an index node without entries',
	isContained,
	FRAGMENTED,
	'extent-tree',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0, ROOT_AT + 2)),
	read(FRAGMENTED),
);
it(
	'more entries than there is room for',
	isContained,
	FRAGMENTED,
	'extent-tree',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0xffff, ROOT_AT + 2)),
	read(FRAGMENTED),
);
for (const [what, entries, max] of [
	['room for five entries in an inode', 1, 5],
	['no room for entries', 0, 0],
] as const) {
	it(
		what,
		isContained,
		FRAGMENTED,
		'extent-tree',
		({ patchInode }) =>
			patchInode((r) => {
				r.writeUInt16LE(entries, ROOT_AT + 2);
				r.writeUInt16LE(max, ROOT_AT + 4);
				if (entries === 0) r.writeUInt16LE(0, ROOT_AT + 6);
			}),
		read(FRAGMENTED),
	);
}
it(
	'a tree deeper than five',
	isContained,
	FRAGMENTED,
	'extent-tree',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(6, ROOT_AT + 6)),
	read(FRAGMENTED),
);
it(
	'a tree that bites its tail',
	isContained,
	FRAGMENTED,
	'extent-tree',
	(scene) => scene.patchInode((r) => r.writeUInt16LE(5, ROOT_AT + 6)),
	read(FRAGMENTED),
);
it(
	'a node of a tree that is its own child',
	isContained,
	FRAGMENTED,
	'extent-tree',
	({ inode, patchInode, patchBlock }) => {
		const node = inode.record.readUInt32LE(ROOT_AT + 16);
		patchInode((r) => r.writeUInt16LE(2, ROOT_AT + 6));
		patchBlock(node, (b) => {
			b.writeUInt16LE(1, 2);
			b.writeUInt16LE(1, 6);
			b.writeUInt32LE(0, 12);
			b.writeUInt32LE(node, 16);
		});
	},
	read(FRAGMENTED),
);
it(
	'a written extent at block 0',
	isContained,
	FRAGMENTED,
	'block-out-of-range',
	(scene) => scene.patchBlock(firstLeaf(scene), (b) => b.writeUInt32LE(0, 12 + 8)),
	read(FRAGMENTED),
);
it(
	'an extent at the block of the superblock',
	isContained,
	FRAGMENTED,
	'block-out-of-range',
	(scene) => scene.patchBlock(firstLeaf(scene), (b) => b.writeUInt32LE(1, 12 + 8)),
	read(FRAGMENTED),
);
it(
	'extents that overlap',
	isContained,
	FRAGMENTED,
	'extent-tree',
	(scene) => scene.patchBlock(firstLeaf(scene), (b) => b.writeUInt16LE(9, 12 + 4)),
	read(FRAGMENTED),
);
it(
	'an extent of no blocks',
	isContained,
	FRAGMENTED,
	'extent-tree',
	(scene) => scene.patchBlock(firstLeaf(scene), (b) => b.writeUInt16LE(0, 12 + 4)),
	read(FRAGMENTED),
);
it(
	'an extent outside the volume',
	isContained,
	FRAGMENTED,
	'block-out-of-range',
	(scene) => scene.patchBlock(firstLeaf(scene), (b) => b.writeUInt32LE(0x7fffffff, 12 + 8)),
	read(FRAGMENTED),
);
it(
	'an extent tree without its magic number',
	isContained,
	FRAGMENTED,
	'extent-tree',
	({ patchInode }) => patchInode((r) => r.fill(0, ROOT_AT, ROOT_AT + 60)),
	read(FRAGMENTED),
);

it('a size beyond 2^32 blocks: zeros to its end, and no hole without an end', async (t) => {
	const image = await soundImage(t);
	const sizeBytes = 2 ** 52 + 4096;
	const fs = ExtFileSystem.open(image);
	const file = inodeAt(fs, FRAGMENTED).withSize(sizeBytes);
	const into = Buffer.alloc(5000, 1);
	t.is(fs.readFile(file, sizeBytes - 5000, into), 5000);
	t.deepEqual(into, Buffer.alloc(5000));
	const firstBeyond = 2 ** 32 * fs.superblock.blockSizeBytes;
	t.is(fs.readFile(file, firstBeyond, into.fill(1)), 5000);
	t.deepEqual(into, Buffer.alloc(5000));
	t.is(fs.seek(file, 2 ** 51, 'data'), undefined);
	t.is(fs.seek(file, 2 ** 51, 'hole'), 2 ** 51);
});
