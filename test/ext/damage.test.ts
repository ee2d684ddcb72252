/**
 * Damage that other readers of ext were once led astray by (crashes, endless loops, wrong data): here each is an error
 * with a name, for what it touches, and the rest of the volume stays readable.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { makeImage, populateImage } from '../../images/populate.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { descriptorPlace } from '../../src/ext/group-descriptors.ts';
import { type Inode, readInodeRecord } from '../../src/ext/inode.ts';
import { groupDescriptorLayout, SUPERBLOCK_BYTE_OFFSET, superblockLayout } from '../../src/ext/layout.ts';
import { DamagedImage } from '../helpers/damaged-image.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { contentOf, inodeAt, listDirectory } from '../helpers/tree.ts';

/** No checksums: they would hide the damage behind their own error. */
const MKFS = ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,^64bit'];
let sound: Promise<Buffer> | undefined;

function soundImage(t: ExecutionContext): Promise<Buffer> {
	sound ??= (async () => {
		const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, MKFS);
		await populateImage(image);
		return readFileSync(image);
	})();
	return sound;
}

const it = canMount && programs('mke2fs', 'python3') ? test : test.skip;

const superblockIsRefused = test.macro(
	async (t, values: Parameters<typeof superblockLayout.encode>[0], code: string) => {
		const image = new DamagedImage(Buffer.from(await soundImage(t)));
		image.patch(1024, 1024, (bytes) => superblockLayout.encode(values, bytes));
		t.throws(() => ExtFileSystem.open(image), { code });
	},
);
const INCOMPAT_64BIT = 0x2c2;
const INCOMPAT_META_BG = 0x252;
it('block size of 2^42', superblockIsRefused, { logBlockSize: 32 }, 'superblock-field');
it('no blocks in a group', superblockIsRefused, { blocksPerGroup: 0, clustersPerGroup: 0 }, 'superblock-field');
it('no inodes in a group', superblockIsRefused, { inodesPerGroup: 0 }, 'superblock-field');
it('more inodes in a group than its bitmap has', superblockIsRefused, { inodesPerGroup: 65536 }, 'superblock-field');
it('inodes of no size', superblockIsRefused, { inodeSizeBytes: 0 }, 'superblock-field');
it('inodes of 200 bytes', superblockIsRefused, { inodeSizeBytes: 200 }, 'superblock-field');
it('inodes larger than a block', superblockIsRefused, { inodeSizeBytes: 2048 }, 'superblock-field');
it('more blocks than the device', superblockIsRefused, { blockCountLow: 0xffffffff }, 'truncated-volume');
it(
	'descriptors of no size',
	superblockIsRefused,
	{ incompat: INCOMPAT_64BIT, descriptorSizeBytes: 0 },
	'superblock-field',
);
it(
	'descriptors of 48 bytes',
	superblockIsRefused,
	{ incompat: INCOMPAT_64BIT, descriptorSizeBytes: 48 },
	'superblock-field',
);
it(
	'first meta group past the last',
	superblockIsRefused,
	{ incompat: INCOMPAT_META_BG, firstMetaGroup: 99 },
	'superblock-field',
);
it('an unknown incompatible feature', superblockIsRefused, { incompat: 0x80000042 }, 'feature-feature_i31');
it('a journal that is a device of its own', superblockIsRefused, { incompat: 0x8 }, 'journal-device');
it('no file system', superblockIsRefused, { magic: 0 }, 'not-ext');

interface Scene {
	readonly image: DamagedImage;
	readonly fs: ExtFileSystem;
	readonly inode: Inode;
	/** Changes the inode's record. */
	readonly patchInode: (change: (record: Buffer) => void) => void;
	/** Changes a block of the volume. */
	readonly patchBlock: (block: number, change: (bytes: Buffer) => void) => void;
}

/** Damages what belongs to `path`, then uses it: `use` fails with `code`, and a file beside it can still be read. */
const isContained = test.macro(
	async (t, path: string, code: string, harm: (scene: Scene) => void, use: (fs: ExtFileSystem) => unknown) => {
		const image = new DamagedImage(Buffer.from(await soundImage(t)));
		const fs = ExtFileSystem.open(image);
		const inode = inodeAt(fs, path);
		const { inodeSizeBytes, blockSizeBytes } = fs.superblock;
		const { byteOffset } = readInodeRecord(fs.blocks, fs.groups, inode.number);
		harm({
			image,
			fs,
			inode,
			patchInode: (change) => image.patch(byteOffset, inodeSizeBytes, change),
			patchBlock: (block, change) => image.patch(block * blockSizeBytes, blockSizeBytes, change),
		});
		const damaged = ExtFileSystem.open(image);
		t.throws(() => use(damaged), { code });
		t.is(contentOf(damaged, inodeAt(damaged, 'links/first')).toString(), 'linked');
	},
);

const read = (path: string) => (fs: ExtFileSystem) => {
	const into = Buffer.alloc(65536);
	return fs.readFile(inodeAt(fs, path), 0, into);
};
const list = (path: string) => (fs: ExtFileSystem) => listDirectory(fs, inodeAt(fs, path));
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

const firstBlock = ({ fs, inode }: Scene) => fs.files.runAt(inode, 0).block;
const harmEntry = (at: number, change: (bytes: Buffer, at: number) => void) => (scene: Scene) =>
	scene.patchBlock(firstBlock(scene), (bytes) => change(bytes, at));
const SIZES = 'sizes';
it(
	'an entry of length 0',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => b.writeUInt16LE(0, at + 4)),
	list(SIZES),
);
it(
	'an entry shorter than any, before a sound one',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => {
		b.fill(0, at, at + 8);
		b.writeUInt16LE(8, at + 4);
		b.writeUInt32LE(2, at + 8);
		b.writeUInt16LE(b.length - at - 8, at + 12);
		b.write('\x01\x02a', at + 14);
	}),
	list(SIZES),
);
it(
	'an entry of odd length',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => b.writeUInt16LE(13, at + 4)),
	list(SIZES),
);
it(
	'an entry past the end of its block',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => b.writeUInt16LE(60000, at + 4)),
	list(SIZES),
);
it(
	'a name longer than its entry',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => b.writeUInt8(200, at + 6)),
	list(SIZES),
);
it(
	'a slash in a name',
	isContained,
	SIZES,
	'directory-name',
	harmEntry(24, (b, at) => b.writeUInt8(0x2f, at + 8)),
	list(SIZES),
);
it(
	'a NUL in a name',
	isContained,
	SIZES,
	'directory-name',
	harmEntry(24, (b, at) => b.writeUInt8(0, at + 8)),
	list(SIZES),
);
it(
	'a name without bytes',
	isContained,
	SIZES,
	'directory-name',
	harmEntry(24, (b, at) => b.writeUInt8(0, at + 6)),
	list(SIZES),
);
it(
	'an inode number past the last',
	isContained,
	SIZES,
	'inode-number',
	(scene) => harmEntry(24, (b, at) => b.writeUInt32LE(scene.fs.superblock.inodeCount + 1, at))(scene),
	(fs) => listDirectory(fs, inodeAt(fs, SIZES)).map(([, number]) => fs.readInode(number)),
);
it(
	'a directory of 4 GiB',
	isContained,
	SIZES,
	'directory-size',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(0xfffffc00, 4)),
	list(SIZES),
);
it(
	'a directory of half a block',
	isContained,
	SIZES,
	'directory-size',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(512, 4)),
	list(SIZES),
);
const FILE = 'sizes/4096';
it(
	'inline data of 4096 bytes that is nowhere',
	isContained,
	FILE,
	'inline-data',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(0x10000000, 0x20)),
	read(FILE),
);
it(
	'inline data of one byte more than fits, and no place for that',
	isContained,
	FILE,
	'inline-data',
	({ patchInode }) =>
		patchInode((r) => {
			r.writeUInt32LE(61, 4);
			r.writeUInt32LE(0x10000000, 0x20);
		}),
	read(FILE),
);
it(
	'inline data in an inode of its own',
	isContained,
	FILE,
	'inline-data',
	({ patchInode }) =>
		patchInode((r) => {
			inlineAt(0)(r);
			r.writeUInt32LE(13, 128 + r.readUInt16LE(0x80) + 4 + 4);
		}),
	read(FILE),
);
it(
	'inline and in extents at once',
	isContained,
	FILE,
	'inode-flags',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(0x10080000, 0x20)),
	read(FILE),
);
it(
	'an inode of no type',
	isContained,
	FILE,
	'inode-mode',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0o644, 0)),
	read(FILE),
);
it('a deleted inode', isContained, FILE, 'deleted-inode', ({ patchInode }) => patchInode((r) => r.fill(0)), read(FILE));
it(
	'an inode without links',
	isContained,
	FILE,
	'deleted-inode',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0, 0x1a)),
	read(FILE),
);
it(
	'a size past 2^53',
	isContained,
	FILE,
	'inode-size',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(0xffffffff, 0x6c)),
	read(FILE),
);
it(
	'fields past the end of the record',
	isContained,
	FILE,
	'inode-extra-size',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0xfffc, 0x80)),
	read(FILE),
);
it(
	'fields of a length that is no multiple of 4',
	isContained,
	FILE,
	'inode-extra-size',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(30, 0x80)),
	read(FILE),
);

for (const [what, sizeBytes] of [
	['no bytes', 0],
	['more than a block', 1024],
] as const) {
	it(
		`a symbolic link of ${what}`,
		isContained,
		'links/symlink-100',
		'symlink-size',
		({ patchInode }) => patchInode((r) => r.writeUInt32LE(sizeBytes, 4)),
		(fs) => fs.readLink(inodeAt(fs, 'links/symlink-100')),
	);
}
/** An inode whose 200 bytes are inline, the rest of them in an attribute `system.data` at `valueAt`. */
const inlineAt = (valueAt: number) => (record: Buffer) => {
	record.writeUInt32LE(200, 4);
	record.writeUInt32LE(0x10000000, 0x20);
	const area = record.subarray(128 + record.readUInt16LE(0x80));
	area.fill(0);
	area.writeUInt32LE(0xea020000, 0);
	area.set([4, 7], 4);
	area.writeUInt16LE(valueAt, 4 + 2);
	area.writeUInt32LE(40, 4 + 8);
	area.write('data', 4 + 16);
};
for (const valueAt of [0, 8, 0xfff0]) {
	it(
		`inline data at offset ${valueAt} of its area`,
		isContained,
		FILE,
		'xattr',
		({ patchInode }) => patchInode(inlineAt(valueAt)),
		read(FILE),
	);
}

const IN_BLOCK = 'attributes/in-block';
const listXattrs = (fs: ExtFileSystem) => fs.listXattrs(inodeAt(fs, IN_BLOCK));
const harmXattr = (at: number, value: number, size: 1 | 2 | 4) => (scene: Scene) =>
	scene.patchBlock(scene.inode.xattrBlock, (bytes) => void bytes.writeUIntLE(value, at, size));
it('an xattr value among the entries', isContained, IN_BLOCK, 'xattr', harmXattr(34, 32, 2), listXattrs);
it('an xattr value past the block', isContained, IN_BLOCK, 'xattr', harmXattr(34, 1020, 2), listXattrs);
it('an xattr value of 4 GiB', isContained, IN_BLOCK, 'xattr', harmXattr(40, 0xffffffff, 4), listXattrs);
it('an xattr block without its magic number', isContained, IN_BLOCK, 'xattr-header', harmXattr(0, 0, 4), listXattrs);
it('an xattr block of two blocks', isContained, IN_BLOCK, 'xattr-header', harmXattr(8, 2, 4), listXattrs);
it(
	'an xattr whose name runs past the inode',
	isContained,
	'attributes/in-inode',
	'xattr',
	({ inode, patchInode }) => patchInode((r) => r.writeUInt8(255, inode.xattrsAt + 4)),
	(fs) => fs.listXattrs(inodeAt(fs, 'attributes/in-inode')),
);
it(
	'an xattr whose value is the inode that it belongs to',
	isContained,
	IN_BLOCK,
	'xattr-inode',
	(scene) => {
		scene.patchInode((r) => r.writeUInt32LE(0x200000, 0x20));
		harmXattr(36, scene.inode.number, 4)(scene);
	},
	(fs) => {
		const inode = inodeAt(fs, IN_BLOCK);
		return fs.listXattrs(inode).map((name) => fs.getXattr(inode, name));
	},
);
it('an xattr value in an inode that is none', isContained, IN_BLOCK, 'xattr-inode', harmXattr(36, 12, 4), (fs) => {
	const inode = inodeAt(fs, IN_BLOCK);
	return fs.listXattrs(inode).map((name) => fs.getXattr(inode, name));
});

it(
	'an ACL with a tag that is none',
	isContained,
	'attributes/acl',
	'acl',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0x40, r.indexOf('0100000001000600', 0, 'hex') + 4)),
	(fs) => fs.getXattr(inodeAt(fs, 'attributes/acl'), Buffer.from('system.posix_acl_access')),
);

it('a file with a number that is reserved', async (t) => {
	const image = new DamagedImage(Buffer.from(await soundImage(t)));
	const { inodeCount } = ExtFileSystem.open(image).superblock;
	image.patch(SUPERBLOCK_BYTE_OFFSET, superblockLayout.sizeBytes, (bytes) =>
		superblockLayout.encode({ firstInode: inodeCount }, bytes),
	);
	const fs = ExtFileSystem.open(image);
	t.true(listDirectory(fs, inodeAt(fs, '')).length > 5);
	t.throws(() => inodeAt(fs, 'links'), { code: 'inode-number' });
});

/** By the place in the root of a directory's index: what is written there, which no index has. */
const ODD_INDEXES: Readonly<Record<string, readonly [at: number, hex: string]>> = {
	'a hash function that is none': [0x1c, '4d'],
	'a root of another length': [0x1d, '0c'],
	'more levels than there can be': [0x1e, '03'],
	'flags that nobody knows': [0x1f, '01'],
	'room for more entries than fit': [0x20, 'ff'],
	'more entries than fit': [0x20, 'ffffffff'],
	'no entries': [0x22, '00'],
	'a block that the directory does not have': [0x25, '7f'],
};

for (const [what, [at, hex]] of Object.entries(ODD_INDEXES)) {
	it(`the index of a directory says ${what}: names are found without it`, async (t) => {
		const image = new DamagedImage(Buffer.from(await soundImage(t)));
		const sound = ExtFileSystem.open(image);
		const directory = inodeAt(sound, 'directories/many');
		const names = listDirectory(sound, directory).map(([name]) => Buffer.from(name, 'latin1'));
		t.true(names.length > 400);
		const block = sound.files.runAt(directory, 0).block * sound.superblock.blockSizeBytes;
		image.patch(block + at, hex.length / 2, (bytes) => bytes.write(hex, 'hex'));
		const fs = ExtFileSystem.open(image);
		for (const name of names) t.is(fs.lookup(directory, name), sound.lookup(directory, name));
		t.is(fs.lookup(directory, Buffer.from('nothing')), undefined);
	});
}

it('a size beyond 2^32 blocks: zeros to its end, and no hole without an end', async (t) => {
	const image = new DamagedImage(Buffer.from(await soundImage(t)));
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

it('overhead counted anew: as mke2fs counted it, also where a bitmap is said to be past the end of numbers', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc,64bit,^metadata_csum', '-C', '4096'];
	const image = new DamagedImage(readFileSync(await makeImage(join(temporaryDirectory(t), 'image'), 64, mkfs)));
	const { superblock } = ExtFileSystem.open(image);
	t.true(superblock.overheadClusters > 0);
	image.patch(SUPERBLOCK_BYTE_OFFSET, superblockLayout.sizeBytes, (bytes) =>
		superblockLayout.encode({ overheadClusters: 0 }, bytes),
	);
	const clusters = () =>
		(superblock.blockCount - ExtFileSystem.open(image).statfs().blocks) / superblock.blocksPerCluster;
	t.is(clusters(), superblock.overheadClusters);
	const { block, byteInBlock } = descriptorPlace(superblock, 0);
	const at = block * superblock.blockSizeBytes + byteInBlock;
	image.patch(at, groupDescriptorLayout.sizeBytes, (bytes) =>
		groupDescriptorLayout.encode({ blockBitmapHigh: 0xffffffff }, bytes),
	);
	const missed = superblock.overheadClusters - clusters();
	t.true(missed === 0 || missed === 1, `${missed}`);
});
