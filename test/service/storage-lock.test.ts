/** A storage is one image's at a time: two services in it would overwrite each other's segments. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { lockStorage } from '../../src/service/storage-lock.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { noonmark, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup', 'fsfreeze') ? anyTest.serial : anyTest.serial.skip;

test('another image can neither be mounted with it nor give it up, and the copies stay right', async (t) => {
	const volume = new TestVolume(t);
	const [other, mountpoint, live] = ['other.img', 'other', 'other.live'].map((name) =>
		join(volume.directory, name),
	) as [string, string, string];
	writeFileSync(other, '');
	execFileSync('truncate', ['-s', '64M', other]);
	execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', other]);
	mkdirSync(mountpoint);
	t.teardown(() => run('umount', [mountpoint, live]));
	await volume.mount();
	const mount = await noonmark(['mount', other, mountpoint, '--storage', volume.storage, '--live', live]);
	t.is(mount.code, 4);
	t.regex(mount.stderr, /is the storage of .*disk\.img \(pid \d+\); say another with --storage/);
	await shell('echo one > "$1/file"', [volume.data]);
	const copy = await volume.create();
	await shell('echo two > "$1/file"; sync -f "$1"', [volume.data]);

	const discard = await noonmark(['repair', other, '--discard', '--yes', '--storage', volume.storage]);
	t.is(discard.code, 4);
	t.regex(discard.stderr, /in use as the storage of another image/);
	await noonmarkOk(['unmount', volume.mountpoint]);

	const unlock = lockStorage(volume.storage); // as a service does that is not on record here
	const again = await noonmark(['mount', volume.image, volume.mountpoint]);
	t.is(again.code, 4);
	t.regex(again.stderr, /in use as the storage of another image/);
	unlock();
	await volume.mount();
	t.is((await runOk('cat', [join(copy.path, 'file')])).toString(), 'one\n');
});
