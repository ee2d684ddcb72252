/** The most that a diff area may take, changed while it is in use, and kept. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import type { StorageReport, VolumeEvent } from '../../src/control/messages.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { eventually, noonmark, noonmarkJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;

const MIB = 2 ** 20;

test('down: the oldest copies go, the newest stays right; up: there is room again; later mounts keep to it', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount('--max-size', '40M');
	const write =
		'echo "$2" > "$1/file"; dd if=/dev/urandom of="$1/big" bs=1M count=8 conv=notrunc status=none; sync -f "$1"';
	const resize = async (size: string) =>
		(await noonmarkJson<{ storage: StorageReport[] }>(['resize', volume.image, '--max-size', size])).storage[0]!;
	const copies = [];
	for (const content of ['one', 'two', 'three']) {
		await shell(write, [volume.data, content]);
		copies.push(await volume.create());
	}
	await shell(write, [volume.data, 'four']);
	t.is((await volume.list()).length, 3);

	const shrunk = await resize('12M');
	t.is(shrunk.maximumBytes, 12 * MIB);
	t.true(shrunk.usedBytes <= 12 * MIB, `${shrunk.usedBytes}`);
	const segments = readdirSync(volume.storage).filter((name) => name.endsWith('.segment'));
	const onDisk = segments.reduce((sum, name) => sum + statSync(join(volume.storage, name)).size, 0);
	t.true(onDisk <= 12 * MIB, `${onDisk}`);
	t.deepEqual(
		(await volume.list()).map(({ id }) => id),
		[copies[2]!.id],
	);
	t.is((await runOk('cat', [join(copies[2]!.path, 'file')])).toString(), 'three\n');
	const { events } = await noonmarkJson<{ events: VolumeEvent[] }>(['events', volume.image]);
	t.deepEqual(
		events.map(({ kind, fault }) => `${kind} ${fault}`),
		['copy-evicted maximum-size', 'copy-evicted maximum-size'],
	);

	t.is((await resize('50%')).maximumBytes, 32 * MIB);
	await noonmarkJson(['unmount', volume.image]);
	await volume.mount();
	const [kept] = (await noonmarkJson<{ storage: StorageReport[] }>(['list', 'storage', volume.image])).storage;
	t.is(kept!.maximumBytes, 32 * MIB);
	t.is((await resize('unbounded')).maximumBytes, null);
	t.is((await runOk('cat', [join(copies[2]!.path, 'file')])).toString(), 'three\n');
	await noonmarkJson(['unmount', volume.image]);
	await runOk('e2fsck', ['-fn', volume.image]);
});

test('under protect-shadows a new size is for good, up and down, whichever way the service ends', async (t) => {
	const volume = new TestVolume(t);
	const protect = ['--policy', 'protect-shadows'];
	await volume.mount('--max-size', '20M', ...protect);
	await shell('dd if=/dev/urandom of="$1/big" bs=1M count=8 status=none; sync -f "$1"', [volume.data]);
	const expected = (await runOk('sha256sum', [join(volume.data, 'big')])).toString().split(' ')[0];
	const copy = await volume.create();
	const kill = async () => {
		const pid = await volume.pid();
		process.kill(pid, 'SIGKILL');
		await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
	};
	const goOn = async (sizeMib: number, end: () => Promise<unknown>) => {
		await noonmarkJson(['resize', volume.image, '--max-size', `${sizeMib}M`]);
		await end();
		await volume.mount(...protect);
		const [storage] = (await noonmarkJson<{ storage: StorageReport[] }>(['list', 'storage', volume.image])).storage;
		t.is(storage!.maximumBytes, sizeMib * MIB);
		t.is((await runOk('sha256sum', [join(copy.path, 'big')])).toString().split(' ')[0], expected);
	};
	await goOn(30, kill);
	await shell('dd if=/dev/urandom of="$1/big" bs=1M count=8 conv=notrunc status=none; sync -f "$1"', [volume.data]);
	await goOn(12, kill);
	await goOn(40, () => noonmarkJson(['unmount', volume.image]));
	const { events } = await noonmarkJson<{ events: VolumeEvent[] }>(['events', volume.image]);
	t.deepEqual(events, []);
	await noonmarkJson(['unmount', volume.image]);
	await runOk('e2fsck', ['-fn', volume.image]);
});

test('where shadow copies are protected, or the volume is read-only, it is refused, and nothing changes', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount('--max-size', '20M', '--policy', 'protect-shadows');
	await shell('dd if=/dev/urandom of="$1/big" bs=1M count=8 status=none; sync -f "$1"', [volume.data]);
	await volume.create();
	await shell('dd if=/dev/urandom of="$1/big" bs=1M count=8 conv=notrunc status=none; sync -f "$1"', [volume.data]);
	const resize = () => noonmark(['resize', volume.image, '--max-size', '1M', '--json']);
	const full = await resize();
	t.is(full.code, 4);
	t.is(JSON.parse(full.stdout.toString()).error.code, 'storage-full');
	t.is((await volume.list()).length, 1);
	await noonmarkJson(['unmount', volume.image]);
	await volume.mount('--read-only');
	const readOnly = await resize();
	t.is(readOnly.code, 4);
	t.is(JSON.parse(readOnly.stdout.toString()).error.code, 'read-only');
	const [storage] = (await noonmarkJson<{ storage: StorageReport[] }>(['list', 'storage', volume.image])).storage;
	t.is(storage!.maximumBytes, 20 * MIB);
});
