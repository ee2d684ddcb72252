import test from 'ava';
import { ExtFileSystem } from '../../../src/ext/filesystem.ts';
import { SUPERBLOCK_BYTE_OFFSET, superblockLayout } from '../../../src/ext/layout.ts';
import { inodeAt, listDirectory } from '../../helpers/tree.ts';
import { it, soundImage } from './scene.ts';

const superblockIsRefused = test.macro(
	async (t, values: Parameters<typeof superblockLayout.encode>[0], code: string) => {
		const image = await soundImage(t);
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

it('a file with a number that is reserved', async (t) => {
	const image = await soundImage(t);
	const { inodeCount } = ExtFileSystem.open(image).superblock;
	image.patch(SUPERBLOCK_BYTE_OFFSET, superblockLayout.sizeBytes, (bytes) =>
		superblockLayout.encode({ firstInode: inodeCount }, bytes),
	);
	const fs = ExtFileSystem.open(image);
	t.true(listDirectory(fs, inodeAt(fs, '')).length > 5);
	t.throws(() => inodeAt(fs, 'links'), { code: 'inode-number' });
});
