/** An image and its storage on a file system that is mounted read-only, as a backup is. */
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { noonmark, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup', 'fsfreeze') ? anyTest.serial : anyTest.serial.skip;

test('with --read-only the copies show; for use it is refused, with the way on', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('echo one > "$1/file"', [volume.data]);
	const copy = await volume.create();
	await shell('echo two > "$1/file"', [volume.data]);
	await noonmarkOk(['unmount', volume.mountpoint]);
	await shell('mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"', [volume.directory]);
	t.teardown(() => runOk('umount', [volume.directory]));

	const refused = await noonmark(['mount', volume.image, volume.mountpoint, '--data', volume.data]);
	t.is(refused.code, 4);
	t.regex(refused.stderr, /read-only; with --read-only, without --data and --live, it can be looked at/);
	await noonmarkOk(['mount', volume.image, volume.mountpoint, '--read-only']);
	t.is((await runOk('cat', [`${copy.path}/file`])).toString(), 'one\n');
	t.is((await runOk('cat', [`${volume.mountpoint}/volume/file`])).toString(), 'two\n');
	t.is((await volume.list())[0]!.state, 'created');
	await noonmarkOk(['unmount', volume.mountpoint]);
});
