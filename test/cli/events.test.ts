/** What happened to the copies: told while it happens, and afterwards. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import anyTest from 'ava';
import type { VolumeEvent } from '../../src/control/messages.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { shell } from '../helpers/run.ts';
import { noonmark, noonmarkJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;
const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'main.js');

const eventsOf = async (target: string) => (await noonmarkJson<{ events: VolumeEvent[] }>(['events', target])).events;

test('an eviction is told to who follows at once, to who asks later, and after the volume is unmounted', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount('--max-size', '8M');
	t.is((await noonmark(['events', volume.image])).stdout.toString(), 'Nothing happened.\n');
	const follower = spawn(process.execPath, [MAIN, 'events', volume.image, '--follow', '--json'], {
		stdio: ['ignore', 'pipe', 'inherit'],
		timeout: 60_000,
		killSignal: 'SIGKILL',
	});
	t.teardown(() => follower.kill('SIGKILL'));
	const lines = createInterface({ input: follower.stdout });
	const first = once(lines, 'line');
	const exited = once(follower, 'exit');

	const overwrite = 'dd if=/dev/urandom of="$1/big" bs=1M count=$2 conv=notrunc status=none; sync -f "$1"';
	await shell(overwrite, [volume.data, '16']);
	const copy = await volume.create();
	await shell(overwrite, [volume.data, '16']);
	const [line] = (await first) as [string];
	const evicted = JSON.parse(line) as VolumeEvent;
	t.like(evicted, { kind: 'copy-evicted', fault: 'maximum-size' });
	t.true(evicted.message.startsWith(`${copy.name} was deleted to make room`), evicted.message);
	t.deepEqual(await eventsOf(volume.image), [evicted]);
	await noonmarkJson(['unmount', volume.image]);
	t.deepEqual(await exited, [0, null], 'who follows is not left waiting');

	for (const target of [volume.image, volume.storage]) t.deepEqual(await eventsOf(target), [evicted], target);
	const text = `${evicted.time}  copy-evicted (maximum-size)  ${evicted.message}\n`;
	t.is((await noonmark(['events', volume.image, '--follow'])).stdout.toString(), text);
	await volume.mount();
	t.deepEqual(await eventsOf(volume.data), [evicted]);
});

test('damage is told with its name, and so is its end', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const copy = await volume.create();
	await shell('dd if=/dev/urandom of="$1/noise" bs=64K count=4 status=none; sync -f "$1"', [volume.data]);
	await volume.create();
	await noonmarkJson(['unmount', volume.image]);
	const segment = join(volume.storage, 'epoch-00000001.segment');
	renameSync(segment, `${segment}.away`);
	const remount = async () => {
		await volume.mount();
		await noonmarkJson(['unmount', volume.image]);
	};
	await remount();
	renameSync(`${segment}.away`, segment);
	await remount();
	const events = await eventsOf(volume.storage);
	t.like(events, [
		{ kind: 'copy-unreadable', fault: 'segment-missing' },
		{ kind: 'copy-readable', fault: null },
	]);
	t.true(events.every(({ message }) => message.startsWith(copy.name)));
});

test('where there is no storage, there is nothing to tell', async (t) => {
	const volume = new TestVolume(t);
	const { code, stderr } = await noonmark(['events', volume.image]);
	t.is(code, 3);
	t.regex(stderr, /belongs to no mounted volume, and is no storage/);
});
