/** What a volume stands on is taken away or replaced while it is mounted. */
import { copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { eventually, noonmark, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;

test('an image that was replaced while it was mounted is not taken for the one that the copies are of', async (t) => {
	const volume = new TestVolume(t);
	const first = join(volume.directory, 'first.img');
	await volume.mount();
	await shell('echo one > "$1/file"', [volume.data]);
	const copy = await volume.create();
	await shell('echo two > "$1/file"', [volume.data]);
	renameSync(volume.image, first);
	copyFileSync(first, volume.image);
	await noonmarkOk(['unmount', volume.data]);

	const { code, stderr } = await noonmark(['mount', volume.image, volume.mountpoint]);
	t.is(code, 4);
	t.regex(stderr, /the volume was changed while Noonmark was not in between/);
	renameSync(first, volume.image);
	await volume.mount();
	t.is((await runOk('cat', [join(copy.path, 'file')])).toString(), 'one\n');
	t.is((await runOk('cat', [join(volume.data, 'file')])).toString(), 'two\n');
});

test('the host file system of the storage is unmounted lazily: unmount tells what is in its way, and then ends', async (t) => {
	const volume = new TestVolume(t);
	const host = join(volume.directory, 'host');
	mkdirSync(host);
	const make = 'truncate -s 32M "$1.img"; mke2fs -q -t ext4 "$1.img"; mount -o loop "$1.img" "$1"';
	await shell(make, [host]);
	t.teardown(() => run('umount', ['--lazy', host]));
	await volume.mount('--storage', join(host, 'storage'));
	await runOk('umount', ['--lazy', host]);
	await shell('echo one > "$1/file"; sync -f "$1"', [volume.data]);

	const { code, stderr } = await noonmark(['unmount', volume.image]);
	t.is(code, 4);
	t.true(stderr.includes(`(umount ${volume.data})`), stderr);
	await runOk('umount', [volume.data]);
	await eventually('the service has ended', () => volume.leftovers().length === 0);
	await runOk('e2fsck', ['-fn', volume.image]);
});
