import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage, populateImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { statfsOfDirectory, treeOfDirectory, treeOfFileSystem } from '../helpers/tree.ts';

const canRun = canMount && programs('mke2fs', 'setfattr', 'setfacl', 'python3');

/** One file system, populated, and compared with the kernel's mount of a copy. */
const sameAsKernel = test.macro(async (t, mkfsArgs: readonly string[]) => {
	const directory = temporaryDirectory(t);
	const image = await makeImage(join(directory, 'image'), 32, mkfsArgs);
	await populateImage(image);
	const copy = join(directory, 'copy');
	copyFileSync(image, copy);
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);
	const [tree, statfs] = await withKernelMount(copy, 'ro', async (mountPoint) => [
		await treeOfDirectory(mountPoint),
		await statfsOfDirectory(mountPoint),
	]);
	t.true(tree.length > 500);
	t.deepEqual(treeOfFileSystem(fs), tree);
	t.deepEqual(fs.statfs(), statfs);
});

const it = canRun ? test : test.skip;
it('ext4 as mke2fs makes it', sameAsKernel, ['-t', 'ext4']);
it('ext4 with blocks of 1 KiB', sameAsKernel, ['-t', 'ext4', '-b', '1024']);
it('ext3', sameAsKernel, ['-t', 'ext3']);
it('ext2', sameAsKernel, ['-t', 'ext2', '-b', '2048']);
it('ext4 without checksums, with inodes of 128 bytes', sameAsKernel, [
	...['-t', 'ext4', '-I', '128', '-O', '^metadata_csum,^64bit,uninit_bg'],
]);

it('a volume that was frozen with a deleted file open: clean, and the file is in no directory', async (t) => {
	const directory = temporaryDirectory(t);
	const image = await makeImage(join(directory, 'image'), 16, ['-t', 'ext4', '-O', 'orphan_file']);
	const copy = join(directory, 'copy');
	const script = `cd "$1"; echo kept >kept; exec 3>deleted; seq 5000 >&3; rm deleted
		fsfreeze -f "$1"; trap 'fsfreeze -u "$1"' EXIT; cp --sparse=always "$2" "$3"`;
	await withKernelMount(image, 'noatime', (mountPoint) => shell(script, [mountPoint, image, copy]));
	const device = FileDevice.open(copy, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);
	t.deepEqual(
		(['orphan_present', 'needs_recovery'] as const).map((name) => fs.superblock.features.has(name)),
		[true, false],
	);
	const tree = treeOfFileSystem(fs);
	t.deepEqual(
		tree.map(({ path }) => path),
		['.', 'kept', 'lost+found'],
	);
	t.deepEqual(tree, await withKernelMount(copy, 'ro', treeOfDirectory));
});
