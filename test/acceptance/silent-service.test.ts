/** A service that was killed, one that is stopped, and one whose socket is gone: what each command says of it. */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { socketPathIn, volumeDirectory } from '../../src/service/runtime-directory.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { type RunResult, run, runOk, shell } from '../helpers/run.ts';
import { eventually, noonmark, noonmarkJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;

const errorIn = ({ stdout }: RunResult) => JSON.parse(stdout.toString()).error as { code: string; message: string };

test('of a killed service every command tells, and unmount clears away what it left', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('echo one > "$1/file"; sync -f "$1"', [volume.data]);
	const copy = await volume.create();
	const pid = await volume.pid();
	process.kill(pid, 'SIGKILL');
	await eventually('the service is dead', async () => (await noonmark(['status', volume.image])).code === 3);

	const { image, mountpoint, data } = volume;
	const commands = [
		['status', image],
		['create', join(data, 'file')],
		['delete', image, '--all'],
		['events', mountpoint],
		['repair', mountpoint],
		['inspect', copy.path],
	];
	for (const [i, result] of (await Promise.all(commands.map((args) => noonmark([...args, '--json'])))).entries()) {
		t.is(result.code, 3, commands[i]!.join(' '));
		t.is(errorIn(result).code, 'service-killed');
		t.true(errorIn(result).message.includes(`pid ${pid}`));
		t.true(errorIn(result).message.includes(`noonmark mount ${image} ${mountpoint}`));
	}
	const all = await noonmark(['status', '--json']);
	t.is(all.code, 3, 'a volume that cannot be asked shows in the exit code');
	t.true(Array.isArray(JSON.parse(all.stdout.toString()).volumes));
	t.true(all.stderr.includes(`${image}: its volume service (pid ${pid}) was killed`));
	t.is((await noonmark(['events', image])).code, 0, 'the storage is there without the service');

	const { volumes } = await noonmarkJson<{ volumes: object[] }>(['unmount', join(data, 'file')]);
	t.like(volumes, [{ image, mountpoint, pid, shadowCopyCount: null }]);
	await eventually('nothing is left', () => volume.leftovers().length === 0);
	t.deepEqual(readdirSync(data), []);
	t.is((await noonmark(['unmount', image])).code, 3);
	await volume.mount();
	t.is((await runOk('cat', [join(copy.path, 'file')])).toString(), 'one\n');
});

test('of a stopped service every command tells after a while, and does nothing later', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const copy = await volume.create();
	const { image, mountpoint, data } = volume;
	const pid = await volume.pid();
	t.teardown(() => void run('kill', ['-CONT', String(pid)]));
	process.kill(pid, 'SIGSTOP');
	const commands = [
		['status', mountpoint],
		['create', join(mountpoint, copy.name)],
		['delete', image, '--all', '--yes'],
		['verify', join(data, 'lost+found')],
		['inspect', copy.path],
		['unmount', image],
	];
	const results = await Promise.all(commands.map((args) => noonmark([...args, '--json'])));
	const elsewhere = await noonmark(['mount', image, mountpoint, '--json']);
	process.kill(pid, 'SIGCONT');
	for (const [i, result] of results.entries()) {
		t.is(result.code, 1, commands[i]!.join(' '));
		t.is(errorIn(result).code, 'service-hangs');
	}
	t.is(elsewhere.code, 4);
	t.is(errorIn(elsewhere).code, 'image-in-use');
	t.deepEqual(
		(await volume.list()).map(({ id }) => id),
		[copy.id],
	);
});

test('without its socket a service is told by its pid, and ends at a signal', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const pid = await volume.pid();
	t.teardown(() => void run('kill', ['-TERM', String(pid)]));
	rmSync(socketPathIn(volumeDirectory(volume.image), { pid }));
	const result = await noonmark(['unmount', volume.data, '--json']);
	t.is(result.code, 1);
	t.is(errorIn(result).code, 'service-gone');
	t.regex(errorIn(result).message, new RegExp(`does not listen.*end it with "kill ${pid}"`));
	process.kill(pid, 'SIGTERM');
	await eventually('it is taken down', () => volume.leftovers().length === 0);
});
