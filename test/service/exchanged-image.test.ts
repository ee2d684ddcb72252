/** The name of an image may go to another file while the image is mounted: what is served is the image, whatever its name. */
import { copyFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { getXattr, setXattr } from '../../src/system/libc.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { shell } from '../helpers/run.ts';
import { eventually, noonmarkJson, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup', 'fsfreeze') ? anyTest.serial : anyTest.serial.skip;

/** Whether files there can be marked. */
function keepsAttributes(path: string): boolean {
	try {
		setXattr(path, 'user.test', Buffer.alloc(1));
		return true;
	} catch {
		return false;
	}
}

test('copies are of the image that was mounted, though another file takes its name', async (t) => {
	// Without checksums, so that nothing tells whose bitmaps are read.
	const volume = new TestVolume(t, { mkfs: ['-t', 'ext4', '-O', '^metadata_csum,^uninit_bg'] });
	const [other, moved] = [join(volume.directory, 'other.img'), join(volume.directory, 'moved.img')];
	const keepsMarks = keepsAttributes(volume.image);
	copyFileSync(volume.image, other); // the same file system, with nothing in it
	await volume.mount('--max-size', 'unbounded');
	await shell('for i in 1 2 3 4; do head -c 1M /dev/urandom > "$1/$i"; done', [volume.data]);
	const digests = async (directory: string) => await shell('cd "$1" && sha256sum [1-4]', [directory]);
	const old = await digests(volume.data);
	renameSync(volume.image, moved);
	renameSync(other, volume.image);

	const copy = await volume.create();
	await eventually('free space is known', async () => {
		const { storage } = await noonmarkJson<{ storage: { freeSpaceKnown: boolean }[] }>([
			'list',
			'storage',
			volume.live,
		]);
		return storage[0]!.freeSpaceKnown;
	});
	const script =
		'for i in 1 2 3 4; do head -c 1M /dev/urandom | dd of="$1/$i" conv=notrunc status=none; done; sync -f "$1"';
	await shell(script, [volume.data]);
	t.deepEqual(await digests(copy.path), old);
	t.is((await volume.list())[0]!.state, 'created');
	const verified = await noonmarkJson<{ shadowCopies: { state: string }[] }>(['verify', volume.live]);
	t.is(verified.shadowCopies[0]!.state, 'sound');
	if (keepsMarks) {
		t.regex(getXattr(moved, 'user.noonmark')!.toString(), /volumeId/);
		t.is(getXattr(volume.image, 'user.noonmark'), undefined);
	}

	await noonmarkOk(['unmount', volume.mountpoint]);
	renameSync(moved, volume.image);
	await volume.mount();
	t.deepEqual(await digests(copy.path), old);
});
