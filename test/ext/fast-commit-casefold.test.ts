/** Fast commits in a directory that folds case. No kernel here makes them, so they are written by hand. */
import { join } from 'node:path';
import test from 'ava';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { FLAG_CASEFOLD } from '../../src/ext/layout.ts';
import { writeFastCommit } from '../helpers/fast-commit-writer.ts';
import { programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, listDirectory } from '../helpers/tree.ts';

const it = programs('mke2fs', 'debugfs') ? test : test.skip;

it('names come and go under another spelling than the one that is stored', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 32, [
		...['-t', 'ext4', '-b', '1024', '-J', 'size=8', '-O', 'casefold,fast_commit'],
	]);
	const commands = [
		'mkdir folded',
		`set_inode_field folded flags 0x${(FLAG_CASEFOLD + 0x80000).toString(16)}`,
		...['cd folded', 'mknod Straße p', 'mknod Keep p', 'mknod Moved p'],
	];
	await runOk('debugfs', ['-w', '-f', '-', image], { input: commands.join('\n') });
	const opened = () => {
		const device = FileDevice.open(image, 'read');
		t.teardown(() => device.close());
		const fs = ExtFileSystem.open(device);
		const folded = inodeAt(fs, 'folded');
		const names = listDirectory(fs, folded).map(([name]) => Buffer.from(name, 'latin1').toString());
		return { folded, names, find: (name: string) => fs.lookup(folded, Buffer.from(name)) };
	};
	const before = opened();
	t.deepEqual(before.names, ['.', '..', 'Straße', 'Keep', 'Moved']);
	const [removed, moved] = [before.find('STRASSE')!, before.find('moved')!];
	t.true(removed > 0 && moved > 0);

	const directory = before.folded.number;
	await writeFastCommit(image, [
		{ kind: 'unlink', directory, inode: removed, name: 'STRASSE' },
		{ kind: 'link', directory, inode: moved, name: 'Über' },
		{ kind: 'unlink', directory, inode: moved, name: 'MOVED' },
	]);
	const after = opened();
	t.deepEqual(after.names, ['.', '..', 'Keep', 'Über']);
	t.deepEqual(['straße', 'strasse', 'moved'].map(after.find), [undefined, undefined, undefined]);
	t.deepEqual(['Über', 'ÜBER', 'über'].map(after.find), [moved, moved, moved]);
	t.is(after.find('KEEP'), before.find('keep'));
});
