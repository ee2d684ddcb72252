/** A superblock with one field changed, its checksum right: what the kernel does not mount is refused, and nothing else. */
import { join } from 'node:path';
import test from 'ava';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { ExtFileSystem, ROOT_INODE } from '../../src/ext/filesystem.ts';
import type { superblockLayout } from '../../src/ext/layout.ts';
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
	[{ logGroupsPerFlex: 31 }],
	[{ logGroupsPerFlex: 32 }],
	[{ logGroupsPerFlex: 32 }, '-O', '^flex_bg'],
	...[0, 8, 65536].map((inodesPerGroup): [Change] => [{ inodesPerGroup }]),
	[{ inodeCount: 5000 }],
	...[5, 10, 5000].map((firstInode): [Change] => [{ firstInode }]),
	...[0, 64, 200, 2048, 3000].map((inodeSizeBytes): [Change] => [{ inodeSizeBytes }]),
	[{ checksumType: 2 }],
	...[0, 1, 999_999].map((blockCountLow): [Change] => [{ blockCountLow }]),
	[{ blockCountHigh: 1 }],
	[{ blockCountHigh: 1 }, '-O', '^64bit'],
	[{ clustersPerGroup: 8184 }],
	[{ blocksPerGroup: 8184 }],
	[{ blocksPerGroup: 8184, clustersPerGroup: 8184 }],
	[{ blocksPerGroup: 0, clustersPerGroup: 0 }],
	[{ encoding: 7 }, '-O', 'casefold'],
	[{ revision: 2 }],
	[{ firstMetaGroup: 77 }, '-O', 'meta_bg,^resize_inode'],
	[{ reservedDescriptorBlocks: 257 }],
	...[5, 6, 77].map((defaultHashVersion): [Change] => [{ defaultHashVersion }]),
	...[6, 77].map((defaultHashVersion): [Change, ...string[]] => [{ defaultHashVersion }, '-O', '^dir_index']),
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
		await makeImage(image, 4, ['-t', 'ext4', '-b', '1024', '-O', '^has_journal', ...features, ...mkfs]);
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
