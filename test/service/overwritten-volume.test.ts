/** A volume that was overwritten, by mistake or on purpose: that is when its copies are needed. */
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { shell } from '../helpers/run.ts';
import { noonmark, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup', 'fsfreeze') ? anyTest.serial : anyTest.serial.skip;

test('a volume without a file system is mounted for its copies, and only for them', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount('--max-size', 'unbounded');
	await shell('head -c 3M /dev/urandom > "$1/file"', [volume.data]);
	const digest = await shell('cd "$1" && sha256sum file', [volume.data]);
	const copy = await volume.create();
	await noonmarkOk(['unmount', volume.mountpoint]);
	await noonmarkOk(['mount', volume.image, volume.mountpoint]);
	await shell('head -c 64M /dev/urandom | dd of="$1" bs=1M conv=notrunc,fsync status=none', [volume.live]);
	await noonmarkOk(['unmount', volume.mountpoint]);

	const refused = await noonmark(['mount', volume.image, volume.mountpoint, '--data', volume.data]);
	t.is(refused.code, 4);
	t.regex(refused.stderr, /no ext magic.*its shadow copies show where it is mounted without --data/);
	for (const options of [[], ['--read-only']]) {
		await noonmarkOk(['mount', volume.image, volume.mountpoint, ...options]);
		t.is((await volume.list())[0]!.state, 'created');
		t.deepEqual(await shell('cd "$1" && sha256sum file', [copy.path]), digest);
		await noonmarkOk(['unmount', volume.mountpoint]);
	}
	await noonmarkOk(['repair', volume.image, '--discard', '--yes']);
	const empty = await noonmark(['mount', volume.image, volume.mountpoint]);
	t.is(empty.code, 4);
	t.notRegex(empty.stderr, /shadow copies show/);
});
