import { copyFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { run, runOk, shell } from './run.ts';
import { type TeardownContext, temporaryDirectory } from './temp.ts';
import { treeOfDirectory } from './tree.ts';

/** A volume that was not cleanly unmounted, its journal in a file of its own, and the tree that the kernel showed. */
export async function uncleanWithExternalJournal(t: TeardownContext, blockSizeBytes = 1024) {
	const blocks = ['-b', String(blockSizeBytes)];
	const directory = temporaryDirectory(t);
	const [mounted, mountedJournal] = [join(directory, 'mounted'), join(directory, 'mounted-journal')];
	for (const [path, mib] of [[mounted, 16] as const, [mountedJournal, 8] as const]) {
		writeFileSync(path, '');
		truncateSync(path, mib << 20);
	}
	await runOk('mke2fs', ['-q', '-F', '-O', 'journal_dev', ...blocks, mountedJournal]);
	const loop = (await runOk('losetup', ['--find', '--show', mountedJournal])).toString().trim();
	t.teardown(() => run('losetup', ['--detach', loop]));
	await runOk('mke2fs', ['-q', '-F', '-t', 'ext4', ...blocks, '-J', `device=${loop}`, mounted]);

	const [image, journal] = [join(directory, 'image'), join(directory, 'journal')];
	const tree = await withKernelMount(mounted, `noatime,journal_path=${loop}`, async (mountPoint) => {
		await shell('cd "$1"; mkdir a; seq 1000 >a/b; ln a/b c; ln -s a/b d; sync -f .', [mountPoint]);
		const seen = await treeOfDirectory(mountPoint);
		await runOk('blockdev', ['--flushbufs', loop]);
		copyFileSync(mounted, image);
		copyFileSync(mountedJournal, journal);
		return seen;
	});
	return { image, journal, tree };
}
