/** A volume whose disk does not answer: writes to the file system that its image lies on wait until that is thawed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { type RunResult, run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { eventually, noonmark, noonmarkJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup', 'fsfreeze', 'e2fsck') ? anyTest.serial : anyTest.serial.skip;

const errorIn = ({ stdout }: RunResult) => JSON.parse(stdout.toString()).error as { code: string; message: string };

/** A file system of its own, that can be frozen. It is taken down after the volumes on it: make it first. */
async function disk(t: ExecutionContext) {
	const directory = temporaryDirectory(t);
	const [file, mountPoint] = [join(directory, 'disk'), join(directory, 'mounted')];
	mkdirSync(mountPoint);
	await shell('truncate -s 256M "$1"; mke2fs -q -F -t ext4 "$1"; mount -o loop "$1" "$2"', [file, mountPoint]);
	t.teardown(() => run('umount', ['--lazy', mountPoint]));
	return {
		mountPoint,
		freeze: () => runOk('fsfreeze', ['--freeze', mountPoint]),
		thaw: () => run('fsfreeze', ['--unfreeze', mountPoint]),
	};
}

/** A volume with one copy whose image is on a disk of its own, the rest elsewhere. */
async function onDisk(t: ExecutionContext) {
	const host = await disk(t);
	const volume = new TestVolume(t);
	const image = join(host.mountPoint, 'disk.img');
	await runOk('cp', ['--sparse=always', volume.image, image]);
	renameSync(volume.image, `${volume.image}.away`);
	const places = [image, volume.mountpoint, '--data', volume.data, '--storage', volume.storage];
	await noonmarkJson(['mount', ...places]);
	t.teardown(() => noonmark(['unmount', image]));
	await noonmarkJson(['create', image]);
	t.teardown(() => host.thaw());
	return { host, volume, image };
}

/** Begins to write what the disk does not take; resolves to the exit code. */
function writeInVain({ data }: TestVolume): { code: Promise<number | null> } {
	const write = ['if=/dev/urandom', `of=${join(data, 'more')}`, 'bs=1M', 'count=1', 'conv=fsync', 'status=none'];
	const writer = spawn('dd', write, { stdio: 'ignore', timeout: 120_000 });
	return { code: once(writer, 'exit').then(([code]) => code as number | null) };
}

test('of a volume whose disk does not answer every command tells after a while, and does nothing later', async (t) => {
	const { host, volume, image } = await onDisk(t);
	const before = await noonmarkJson<{ shadowCopies: { id: string }[] }>(['list', image]);
	await host.freeze();
	const writer = writeInVain(volume);
	await runOk('sleep', ['1']);
	const creation = noonmark(['create', image]); // which is told after minutes
	const commands = [
		['status', image],
		['list', image],
		['list', 'storage', image],
		['delete', image, '--all', '--yes'],
		['resize', image, '--max-size', '1M'],
		['verify', image],
		['inspect', join(volume.mountpoint, '@GMT-2000.01.01-00.00.00')],
		['unmount', image],
	];
	const results = await Promise.all(commands.map((args) => noonmark([...args, '--json'])));
	const events = await noonmark(['events', image]);
	t.is(await Promise.race([writer.code, 'waiting']), 'waiting', 'the disk has not answered');
	await host.thaw();
	for (const [i, result] of results.entries()) {
		const said = commands[i]!.join(' ');
		t.is(result.code, 1, said);
		t.is(errorIn(result).code, 'volume-hangs', said);
		t.regex(errorIn(result).message, /disk\.img: its disk, .*, has not answered for 30 s; nothing was done$/, said);
	}
	t.is(events.code, 0, 'what does not need the disk is answered');

	t.is(await writer.code, 0, 'the writer has only waited');
	const created = await creation;
	t.is(created.code, 0, created.stderr);
	const after = await noonmarkJson<{ shadowCopies: { id: string }[] }>(['list', image]);
	t.deepEqual(
		after.shadowCopies.slice(0, -1).map(({ id }) => id),
		before.shadowCopies.map(({ id }) => id),
	);
	await noonmarkJson(['create', image]);
	await noonmarkJson(['unmount', image]);
	await runOk('e2fsck', ['-fn', image]);
});

test('a service that is told twice to end gives up a disk that does not answer, and ends when it does', async (t) => {
	const { host, volume, image } = await onDisk(t);
	const { volumes } = await noonmarkJson<{ volumes: { pid: number }[] }>(['status', image]);
	const { pid } = volumes[0]!;
	await host.freeze();
	const writer = writeInVain(volume);
	await runOk('sleep', ['1']);
	const mounts = () => readFileSync('/proc/self/mounts', 'utf8');
	process.kill(pid, 'SIGTERM');
	await eventually('the tree is out of sight', () => !mounts().includes(volume.mountpoint));
	process.kill(pid, 'SIGTERM');
	// At last the live device: from then on nothing is written, also where the disk answers at once.
	await eventually('the data is out of sight', () => !mounts().includes(volume.data));
	await eventually('the live device is out of sight', () => !mounts().includes(volume.live));
	t.true(existsSync(`/proc/${pid}`), 'it cannot end before the disk answers');
	await host.thaw();
	await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
	t.is(await writer.code, 1, 'who was still there gets an error');
	await shell('cp --sparse=always "$1" "$2"; e2fsck -fy "$2"', [image, volume.image]); // a repair is a change
	await noonmarkJson(['mount', image, volume.mountpoint, '--storage', volume.storage]);
	const { shadowCopies } = await noonmarkJson<{ shadowCopies: { state: string }[] }>(['list', image]);
	t.deepEqual(
		shadowCopies.map(({ state }) => state),
		['created'],
	);
});
