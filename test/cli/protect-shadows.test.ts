/** `mount --policy protect-shadows`: the write fails, as on a full disk, and the copies stay. */
import { join } from 'node:path';
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { noonmarkJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;

test('over the maximum size, a write through the live device fails with ENOSPC, and the copy stays right', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('dd if=/dev/urandom of="$1/big" bs=1M count=16 status=none; sync -f "$1"', [volume.data]);
	const before = (await runOk('sha256sum', [join(volume.data, 'big')])).toString().split(' ')[0];
	await noonmarkJson(['unmount', volume.image]);

	const limits = ['--max-size', '2M', '--policy', 'protect-shadows'];
	await noonmarkJson(['mount', volume.image, volume.mountpoint, ...limits]);
	const copy = await volume.create();
	const overwrite = ['if=/dev/urandom', `of=${volume.live}`, 'bs=1M', 'count=48', 'conv=notrunc,fsync', 'status=none'];
	const written = await run('dd', overwrite);
	t.not(written.code, 0);
	t.regex(written.stderr.toString(), /No space left on device/);
	t.deepEqual(
		(await volume.list()).map(({ id }) => id),
		[copy.id],
	);
	const { events } = await noonmarkJson<{ events: { kind: string; fault: string }[] }>(['events', volume.image]);
	t.like(events.at(-1), { kind: 'write-refused', fault: 'maximum-size' });
	const after = (await runOk('sha256sum', [join(copy.path, 'big')])).toString().split(' ')[0];
	t.is(after, before);
});
