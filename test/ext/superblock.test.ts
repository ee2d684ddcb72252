/** A superblock with one field changed, its checksum right: what the kernel does not mount is refused, and nothing else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { ExtFileSystem, ROOT_INODE } from '../../src/ext/filesystem.ts';
import { SUPERBLOCK_BYTE_OFFSET, superblockLayout } from '../../src/ext/layout.ts';
import { decodeSuperblock } from '../../src/ext/superblock.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

type Change = Parameters<typeof superblockLayout.encode>[0];

/** Each with more features for mke2fs; blocks of 1 KiB where nothing else is said. */
const CHANGES: readonly (readonly [Change, ...string[]])[] = [
	[{}],
	...[0, 2].map((logClusterSize): [Change] => [{ logClusterSize }]),
	[{ logBlockSize: 7 }],
	[{ firstDataBlock: 0 }],
	[{ firstDataBlock: 1 }, '-b', '4096'],
	[{ creatorOs: 1 }, '-O', '64bit'],
	[{ creatorOs: 1 }, '-O', '^64bit,ea_inode'],
	[{ creatorOs: 1 }, '-O', '^64bit'],
	[{ descriptorSizeBytes: 96 }, '-O', '64bit'],
	[{ descriptorSizeBytes: 0 }, '-O', '64bit'],
	[{ descriptorSizeBytes: 77 }, '-O', '^64bit'],
	...[1024, 2048].map((descriptorSizeBytes): [Change, ...string[]] => [
		{ descriptorSizeBytes },
		...['-b', '4096', '-O', '64bit,^metadata_csum,^uninit_bg'],
	]),
	[{ logGroupsPerFlex: 31 }],
	[{ logGroupsPerFlex: 32 }],
	[{ logGroupsPerFlex: 32 }, '-O', '^flex_bg'],
	...[0, 8, 65536].map((inodesPerGroup): [Change] => [{ inodesPerGroup }]),
	...[2, 4].map((inodes): [Change] => [{ inodesPerGroup: inodes, inodeCount: inodes }]),
	[{ inodeCount: 5000 }],
	...[5, 10, 5000].map((firstInode): [Change] => [{ firstInode }]),
	...[0, 64, 200, 2048, 3000].map((inodeSizeBytes): [Change] => [{ inodeSizeBytes }]),
	[{ checksumType: 2 }],
	...[0, 1, 999_999].map((blockCountLow): [Change] => [{ blockCountLow }]),
	[{ blockCountHigh: 1 }],
	[{ blockCountHigh: 1 }, '-O', '^64bit'],
	...[8192, 8200].map((blocks): [Change] => [{ blocksPerGroup: blocks, clustersPerGroup: blocks }]),
	...[20, 21].map((log): [Change, ...string[]] => [
		{ logClusterSize: log, blocksPerGroup: 8 << log, clustersPerGroup: 8 },
		...['-O', 'bigalloc,^resize_inode', '-C', '4096'],
	]),
	...[0, 1, 2].map((block): [Change, ...string[]] => [{ firstDataBlock: block }, '-O', 'bigalloc', '-C', '4096']),
	[{ clustersPerGroup: 8184 }],
	[{ blocksPerGroup: 8184 }],
	[{ blocksPerGroup: 8184, clustersPerGroup: 8184 }],
	[{ blocksPerGroup: 0, clustersPerGroup: 0 }],
	[{ encoding: 7 }, '-O', 'casefold'],
	[{ revision: 2 }],
	...[{ incompat: 0x80000000 }, { roCompat: 0x80000000 }, { firstInode: 5, inodeSizeBytes: 77 }].map(
		(change): [Change, ...string[]] => [change, '-t', 'ext2', '-r', '0'],
	),
	[{ firstMetaGroup: 77 }, '-O', 'meta_bg,^resize_inode'],
	[{ reservedDescriptorBlocks: 257 }],
	...[5, 6, 77].map((defaultHashVersion): [Change] => [{ defaultHashVersion }]),
	...[6, 77].map((defaultHashVersion): [Change, ...string[]] => [{ defaultHashVersion }, '-O', '^dir_index']),
	[{ incompat: 0x2c6 }],
	[{ incompat: 0x2c3 }],
	[{ incompat: 0x800002c2 }],
	[{ roCompat: 0x80000000 }, '-O', '^metadata_csum,^uninit_bg'],
	[{ magic: 0xef52 }],
];

const it = canMount && programs('mke2fs') ? test : test.skip;

it('refused where the kernel refuses', async (t) => {
	t.timeout(120_000);
	const directory = temporaryDirectory(t);
	const mountPoint = join(directory, 'mount point');
	await runOk('mkdir', [mountPoint]);
	for (const [change, ...mkfs] of CHANGES) {
		const image = join(directory, 'image');
		const features = mkfs.includes('-O') ? [] : ['-O', '64bit'];
		const base = mkfs.includes('-r') ? [] : ['-t', 'ext4', '-O', '^has_journal', ...features];
		await makeImage(image, 4, ['-b', '1024', ...base, ...mkfs]);
		editImage(image, (editor) => editor.setSuperblock(change));
		const { code } = await run('mount', ['-o', 'loop,ro', image, mountPoint]);
		if (code === 0) await runOk('umount', [mountPoint]);
		t.is(opens(image), code === 0, `${JSON.stringify(change)} ${mkfs.join(' ')}`);
	}
});

function opens(image: string): boolean {
	const device = FileDevice.open(image, 'read');
	try {
		ExtFileSystem.open(device).readInode(ROOT_INODE);
		return true;
	} catch (error) {
		if (!(error instanceof NoonmarkError)) throw error;
		return false;
	} finally {
		device.close();
	}
}

it('more bytes than numbers can count', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 4, ['-t', 'ext4', '-O', '64bit,^metadata_csum']);
	const bytes = readFileSync(image).subarray(SUPERBLOCK_BYTE_OFFSET, 2 * SUPERBLOCK_BYTE_OFFSET);
	superblockLayout.encode({ blockCountHigh: 2 ** 20 }, bytes);
	t.throws(() => decodeSuperblock(bytes, 2 ** 63), { code: 'truncated-volume' });
});
