import { join } from 'node:path';
import test from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { buildImage, matrix } from '../../images/matrix.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem, readSuperblock } from '../../src/ext/filesystem.ts';
import { journalState } from '../../src/ext/journal.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import {
	inodeAt,
	statfsOfDirectory,
	type TreeEntry,
	treeDifferences,
	treeOfDirectory,
	treeOfFileSystem,
} from '../helpers/tree.ts';

const only = process.env.MATRIX ? new RegExp(process.env.MATRIX) : /./;
const canRun = canMount && programs('mke2fs', 'tune2fs', 'debugfs', 'setfattr', 'python3');
const it = canRun ? test.serial : test.serial.skip;

const withoutDirectorySizes = (tree: TreeEntry[]): TreeEntry[] =>
	tree.map((entry) => (/^4/.test(entry.mode) ? { ...entry, sizeBytes: 0, blocks512: 0 } : entry));

for (const [name, { isDirty, kernelCannot, isRehashed }] of Object.entries(matrix).filter(([name]) =>
	only.test(name),
)) {
	it(name, async (t) => {
		t.timeout(60_000);
		if (kernelCannot) t.log(`not mounted by the kernel here: ${kernelCannot}`);
		const directory = temporaryDirectory(t);
		const { path, reference } = await buildImage(name, join(directory, 'image'));
		// The kernel replays, and writes: on a copy.
		const copy = join(directory, 'copy');
		await runOk('cp', ['--sparse=always', reference, copy]);
		const device = FileDevice.open(path, 'read');
		t.teardown(() => device.close());
		const fs = ExtFileSystem.open(device);
		t.is(fs.superblock.features.has('needs_recovery'), isDirty === true);
		if (isDirty) {
			// Kernels have hung for good over fast commits: none is to see one here.
			t.like(journalState(device, readSuperblock(device)), { kind: 'needs-replay', fastCommitCount: 0 });
			await withKernelMount(copy, 'noatime', async () => {});
		}
		const [tree, statfs] = await withKernelMount(copy, 'ro', async (mountPoint) => [
			await treeOfDirectory(mountPoint),
			await statfsOfDirectory(mountPoint),
		]);
		t.true(tree.length > 400);
		const compared = isRehashed ? withoutDirectorySizes : (entries: TreeEntry[]) => entries;
		t.deepEqual(treeDifferences(compared(treeOfFileSystem(fs)), compared(tree)), []);
		if (!kernelCannot) t.deepEqual(fs.statfs(), statfs);
		for (const entry of tree) t.is(inodeAt(fs, entry.path).number, entry.inode, entry.path);
	});
}
