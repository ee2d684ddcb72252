/** The whole program over the optional transport. */
import { join } from 'node:path';
import anyTest from 'ava';
import { hasFuseNative } from '../../src/fuse/fuse-native.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { eventually, noonmark, noonmarkJson, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && hasFuseNative() && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;

const isEnded = async (pid: number) =>
	(await runOk('sh', ['-c', 'kill -0 "$1" 2>&1 || true', 'sh', String(pid)])).length > 0;

test('copies come and go, content is what it was, and the service ends', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount('--transport', 'fuse-native');
	const pid = await volume.pid();
	await shell('echo one > "$1/file"', [volume.data]);
	const copy = await volume.create();
	await shell('echo two > "$1/file"', [volume.data]);
	t.is((await runOk('cat', [join(copy.path, 'file')])).toString(), 'one\n');
	await noonmarkJson(['delete', volume.image, '--all']);
	await eventually('it is not listed any more', async () => (await runOk('ls', [volume.mountpoint])).length === 0);
	await noonmarkOk(['unmount', volume.image]);
	await eventually('the service has ended', () => isEnded(pid));
	t.deepEqual(volume.leftovers(), []);
});

test('others may not be let in, since ACLs are not enforced', async (t) => {
	const volume = new TestVolume(t);
	const args = ['mount', volume.image, volume.mountpoint, '--transport', 'fuse-native', '--allow-other', '--json'];
	const { code, stdout } = await noonmark(args);
	t.is(code, 4);
	t.is(JSON.parse(stdout.toString()).error.code, 'acls-not-enforced');
	t.deepEqual(volume.leftovers(), []);
});
