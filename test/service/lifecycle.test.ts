/** From mounting to every end that a volume service can come to. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest from 'ava';
import { socketPathIn, volumeDirectory } from '../../src/service/runtime-directory.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { eventually, noonmark, noonmarkJson, noonmarkOk, type ShadowCopyJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'e2fsck', 'losetup', 'fsfreeze') ? anyTest.serial : anyTest.serial.skip;

const read = async (path: string) => (await runOk('cat', [path])).toString();
const listing = async (directory: string) => (await runOk('ls', [directory])).toString().trim().split('\n');

test('what was there when a copy was made stays there; what came later does not show', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('echo one > "$1/report.txt"', [volume.data]);
	const copy = await volume.create();
	await shell('echo two > "$1/report.txt"; echo new > "$1/new.txt"', [volume.data]);
	t.is(await read(join(copy.path, 'report.txt')), 'one\n');
	t.is(await read(join(volume.data, 'report.txt')), 'two\n');
	t.not((await run('stat', [join(copy.path, 'new.txt')])).code, 0);
	await noonmarkOk(['unmount', volume.mountpoint]);
	t.deepEqual(volume.leftovers(), []);
	await runOk('e2fsck', ['-fn', volume.image]);

	await volume.mount();
	const [{ preservedBytes, freedByDeletingBytes }] = (await volume.list()) as [ShadowCopyJson];
	t.deepEqual(await volume.list(), [{ ...copy, preservedBytes, freedByDeletingBytes }]);
	t.is(await read(join(copy.path, 'report.txt')), 'one\n');
});

test('copies made within one second have names of their own; deleting one leaves the others right', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const copies = [];
	for (let i = 0; i < 3; i++) {
		const script = 'echo "$2" > "$1/file"; dd if=/dev/urandom of="$1/noise" bs=64K count=4 conv=notrunc status=none';
		await shell(script, [volume.data, String(i)]);
		copies.push(await volume.create());
	}
	t.is(new Set(copies.map(({ name }) => name)).size, 3);
	t.deepEqual(await listing(volume.mountpoint), copies.map(({ name }) => name).sort());
	await noonmarkJson(['delete', volume.image, copies[1]!.name]);
	t.deepEqual(await listing(volume.mountpoint), [copies[0]!.name, copies[2]!.name]);
	t.is(await read(join(copies[0]!.path, 'file')), '0\n');
	t.is(await read(join(copies[2]!.path, 'file')), '2\n');
	t.not((await run('cat', [join(copies[1]!.path, 'file')])).code, 0);
	await noonmarkJson(['delete', volume.image, '--oldest']);
	t.is(await read(join(copies[2]!.path, 'file')), '2\n');
	await noonmarkJson(['delete', volume.image, '--all']);
	t.deepEqual(await volume.list(), []);
	t.deepEqual(
		readdirSync(volume.storage).filter((name) => name.startsWith('epoch-')),
		[],
	);
});

test('kill -9 while the file system is mounted: the next mount clears away what is left, and no copy is lost', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('echo one > "$1/report.txt"', [volume.data]);
	const copy = await volume.create();
	const change = 'echo two > "$1/report.txt"; sync -f "$1"; dd if=/dev/zero of="$1/unsynced" bs=1M count=4 status=none';
	await shell(change, [volume.data]);
	const pid = await volume.pid();
	process.kill(pid, 'SIGKILL');
	await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
	t.regex((await run('ls', [volume.mountpoint])).stderr, /not connected/, 'an error, never an empty directory');
	t.is((await noonmark(['list', 'shadows', volume.image])).code, 3);
	await volume.mount();
	t.is(await read(join(copy.path, 'report.txt')), 'one\n');
	t.is(await read(join(volume.data, 'report.txt')), 'two\n');
	await noonmarkOk(['unmount', volume.data]);
	t.deepEqual(volume.leftovers(), []);
	await runOk('e2fsck', ['-fn', volume.image]);
});

test('a mount right after kill -9 waits until the killed service is gone', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	for (let i = 0; i < 3; i++) {
		await shell('dd if=/dev/zero of="$1/noise" bs=1M count=8 status=none; sync -f "$1"', [volume.data]);
		process.kill(await volume.pid(), 'SIGKILL');
		await volume.mount();
	}
	t.deepEqual(await volume.list(), []);
});

test('unmount refuses while somebody is in a directory, and says who', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const sleeper = spawn('sleep', ['60'], { cwd: volume.data, stdio: 'ignore' });
	t.teardown(() => sleeper.kill('SIGKILL'));
	await eventually('sleep runs', () => readFileSync(`/proc/${sleeper.pid}/comm`, 'utf8') === 'sleep\n');
	const refusal = await noonmark(['unmount', volume.image]);
	t.is(refusal.code, 4);
	t.true(refusal.stderr.includes(`sleep (pid ${sleeper.pid})`), refusal.stderr);
	await shell('echo still here > "$1/file"', [volume.data]);
	sleeper.kill('SIGKILL');
	await eventually('sleep is gone', () => sleeper.signalCode !== null);
	await noonmarkOk(['unmount', volume.image]);
});

test('unmount refuses while a copy is mounted elsewhere, and says where; what keeps one unseen gets errors', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('echo old > "$1/old"', [volume.data]);
	const { path } = await volume.create();
	const places = ['bound', 'overlay'].map((name) => join(volume.directory, name));
	for (const place of places) mkdirSync(place);
	const [bound, overlay] = places as [string, string];
	t.teardown(() => shell('umount -l "$1" "$2" 2> /dev/null || true', places));

	await runOk('mount', ['--bind', path, bound]);
	const refusal = await noonmark(['unmount', volume.image]);
	t.is(refusal.code, 4);
	t.true(refusal.stderr.includes(`umount ${bound}`), refusal.stderr);
	await shell('echo still here > "$1/file"; ls "$2"', [volume.data, path]);
	await runOk('umount', [bound]);

	await runOk('mount', ['-t', 'overlay', '-o', `lowerdir=${path}:${bound}`, 'overlay', overlay]);
	await runOk('ls', [overlay]);
	await noonmarkOk(['unmount', volume.image]);
	t.regex((await run('cat', [join(overlay, 'old')])).stderr, /connection abort|not connected/);
	await runOk('umount', [overlay]);
	await eventually('nothing is left', () => volume.leftovers().length === 0);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
	test(`${signal} takes everything down`, async (t) => {
		const volume = new TestVolume(t);
		await volume.mount();
		await shell('echo kept > "$1/file"', [volume.data]);
		const pid = await volume.pid();
		process.kill(pid, signal);
		await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
		t.deepEqual(volume.leftovers(), []);
		await runOk('e2fsck', ['-fn', volume.image]);
	});
}

test('SIGTERM lets whoever still writes to the data finish', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const pid = await volume.pid();
	const script = 'exec 3> file; read line; echo finished >&3';
	const writer = spawn('bash', ['-c', script], {
		cwd: volume.data,
		stdio: ['pipe', 'ignore', 'ignore'],
		timeout: 60_000,
		killSignal: 'SIGKILL',
	});
	t.teardown(() => writer.kill('SIGKILL'));
	await eventually(
		'the writer has its file',
		async () => (await run('test', ['-e', join(volume.data, 'file')])).code === 0,
	);
	process.kill(pid, 'SIGTERM');
	await delay(500);
	t.true(existsSync(`/proc/${pid}`), 'the service waits for the writer');
	writer.stdin.end('go\n');
	await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
	t.deepEqual(volume.leftovers(), []);
	await runOk('e2fsck', ['-fn', volume.image]);
	await volume.mount();
	t.is(await read(join(volume.data, 'file')), 'finished\n');
});

test('the second SIGTERM waits for nobody: what was written is kept, who still uses a mount gets errors', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const copy = await volume.create();
	const pid = await volume.pid();
	const script = 'exec 3> "$1/file"; echo written >&3; cd "$2"; echo ready; read line; echo more >&3; ls; read line';
	const user = spawn('bash', ['-c', script, 'bash', volume.data, copy.path], {
		stdio: 'pipe',
		timeout: 60_000,
		killSignal: 'SIGKILL',
	});
	t.teardown(() => user.kill('SIGKILL'));
	const closed = once(user, 'close');
	const saying = createInterface({ input: user.stdout })[Symbol.asyncIterator]();
	t.is((await saying.next()).value, 'ready');
	process.kill(pid, 'SIGTERM');
	const mounts = () => readFileSync('/proc/self/mounts', 'utf8');
	await eventually('the tree is out of sight', () => !mounts().includes(volume.mountpoint));
	process.kill(pid, 'SIGTERM');
	await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
	await runOk('e2fsck', ['-fn', volume.image]);
	t.is((await runOk('debugfs', ['-R', 'cat /file', volume.image])).toString(), 'written\n');
	const complaints: Buffer[] = [];
	user.stderr.on('data', (text: Buffer) => complaints.push(text));
	user.stdin.end('go\n\n');
	await closed;
	t.regex(Buffer.concat(complaints).toString(), /echo: write error: Input.output error.*ls: .*not connected/s);
	await eventually('nothing is left', () => volume.leftovers().length === 0);
	await volume.mount();
	t.deepEqual(
		(await volume.list()).map(({ id, name, state }) => [id, name, state]),
		[[copy.id, copy.name, 'created']],
	);
	t.is(await read(join(volume.data, 'file')), 'written\n');
});

test('the tree of copies unmounted from outside: the service ends in order', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const pid = await volume.pid();
	await runOk('umount', [volume.mountpoint]);
	await volume.mount(); // waits until it has ended
	t.not(await volume.pid(), pid);
	await runOk('umount', [volume.mountpoint]);
	await eventually('nothing is left', () => volume.leftovers().length === 0);
	await runOk('e2fsck', ['-fn', volume.image]);
});

test('what somebody else mounts over the tree, or in its place, is never taken down', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await runOk('mount', ['-t', 'tmpfs', 'theirs', volume.mountpoint]);
	const refusal = await noonmark(['unmount', volume.image]);
	t.is(refusal.code, 4);
	t.regex(refusal.stderr, /tmpfs is mounted over it/);
	await shell('echo still here > "$1/file"; umount "$2"', [volume.data, volume.mountpoint]);
	const pid = await volume.pid();
	await shell('umount "$1"; mount -t tmpfs theirs "$1"', [volume.mountpoint]);
	await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
	t.deepEqual(
		volume.leftovers().map((line) => line.split(' ')[0]),
		['theirs'],
	);
	await runOk('umount', [volume.mountpoint]);
});

test('what somebody else mounts over the data directory is not unmounted in its place', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await runOk('mount', ['-t', 'tmpfs', 'theirs', volume.data]);
	t.teardown(() => run('umount', ['--lazy', volume.data]));
	const refusal = await noonmark(['unmount', volume.image]);
	t.is(refusal.code, 4);
	t.regex(refusal.stderr, /data: tmpfs is mounted over it/);
	await runOk('mountpoint', [volume.mountpoint]);
	await runOk('umount', [volume.data]);
	await noonmarkOk(['unmount', volume.image]);
	t.deepEqual(volume.leftovers(), []);
});

test('unmount waits for a shadow copy that is being made, and does not take its programs for users', async (t) => {
	const volume = new TestVolume(t);
	const [bin, begun] = [join(volume.directory, 'bin'), join(volume.directory, 'begun')];
	mkdirSync(bin);
	const sync = `#!/bin/sh\nPATH=${process.env.PATH}\ncd ${volume.data}\ntouch ${begun}\nsleep 2\nexec sync "$@"\n`;
	writeFileSync(join(bin, 'sync'), sync, { mode: 0o755 });
	const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
	await noonmarkOk(['mount', volume.image, volume.mountpoint, '--data', volume.data], { env });
	const creation = volume.create();
	await eventually('it is being made', () => existsSync(begun));
	const { volumes } = await noonmarkJson<{ volumes: { shadowCopyCount: number }[] }>(['unmount', volume.image]);
	t.is((await creation).state, 'created');
	t.is(volumes[0]!.shadowCopyCount, 1);
});

test('who stays connected to the control socket keeps no service that was unmounted', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const pid = await volume.pid();
	const silent = createConnection(socketPathIn(volumeDirectory(volume.image), { pid }));
	t.teardown(() => void silent.destroy());
	silent.on('error', () => {});
	await once(silent, 'connect');
	await noonmarkOk(['unmount', volume.image]);
	await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
	t.deepEqual(volume.leftovers(), []);
});

test('in the foreground the command lasts as long as the mount', async (t) => {
	const volume = new TestVolume(t);
	const args = ['mount', volume.image, volume.mountpoint, '--data', volume.data, '--foreground', '--json'];
	const foreground = noonmark(args);
	await eventually('it is mounted', async () => (await noonmark(['status', volume.image])).code === 0);
	await noonmarkOk(['unmount', volume.image]);
	const { code, stdout } = await foreground;
	t.is(code, 0);
	t.is(JSON.parse(stdout.toString()).volumes[0].image, volume.image);
});

test('without a data directory, the mounts of the live device are found and frozen', async (t) => {
	const volume = new TestVolume(t);
	await noonmarkOk(['mount', volume.image, volume.mountpoint]);
	const unmounted = await volume.create();
	t.true(unmounted.attributes.includes('noWriters'));
	await runOk('mount', ['-o', 'loop', volume.live, volume.data]);
	await shell('echo one > "$1/file"', [volume.data]);
	const copy = await volume.create();
	t.false(copy.attributes.includes('noWriters'));
	t.is(await read(join(copy.path, 'file')), 'one\n');
	const refusal = await noonmark(['unmount', volume.image]);
	t.is(refusal.code, 4);
	t.true(refusal.stderr.includes(volume.data), refusal.stderr);
	await runOk('umount', [volume.data]);
	await noonmarkOk(['unmount', volume.image]);
	await runOk('e2fsck', ['-fn', volume.image]);
});

test('read-only: copies can be read, nothing can be changed', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('echo one > "$1/file"', [volume.data]);
	const copy = await volume.create();
	await noonmarkJson(['unmount', volume.image]);
	const before = statSync(volume.image).mtimeMs;
	await volume.mount('--read-only');
	t.is(await read(join(copy.path, 'file')), 'one\n');
	t.not((await run('touch', [join(volume.data, 'new')])).code, 0);
	t.is((await noonmark(['create', volume.image])).code, 4);
	t.is((await noonmark(['delete', volume.image, '--all'])).code, 4);
	await noonmarkJson(['unmount', volume.image]);
	t.is(statSync(volume.image).mtimeMs, before);
	await volume.mount();
	t.is(await read(join(copy.path, 'file')), 'one\n');
});

test('a volume that was changed without Noonmark is refused while it has copies', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await volume.create();
	await noonmarkJson(['unmount', volume.image]);
	await shell('mkdir "$1/m"; mount -o loop "$2" "$1/m"; echo x > "$1/m/x"; umount "$1/m"', [
		volume.directory,
		volume.image,
	]);
	const refusal = await noonmark(['mount', volume.image, volume.mountpoint]);
	t.is(refusal.code, 4);
	t.regex(refusal.stderr, /changed while Noonmark was not in between/);
	t.deepEqual(volume.leftovers(), []);
});

test('the disk of the diff area is full: the oldest copies go, an event says so, the live write succeeds', async (t) => {
	const volume = new TestVolume(t, { sizeBytes: 96 << 20 });
	const disk = join(volume.directory, 'small');
	await shell('mkdir "$1"; mount -t tmpfs -o size=24M none "$1"', [disk]);
	t.teardown(() => run('umount', ['--lazy', disk]));
	const storage = join(disk, 'storage');
	await volume.mount('--storage', storage, '--max-size', 'unbounded');
	await shell('dd if=/dev/urandom of="$1/big" bs=1M count=30 status=none; sync -f "$1"', [volume.data]);
	await volume.create();
	await shell('dd if=/dev/urandom of="$1/big" bs=1M count=12 conv=notrunc status=none; sync -f "$1"', [volume.data]);
	const second = await volume.create();
	await shell('dd if=/dev/urandom of="$1/big" bs=1M count=14 conv=notrunc status=none; sync -f "$1"', [volume.data]);
	t.deepEqual(
		(await volume.list()).map(({ name }) => name),
		[second.name],
	);
	const status = (await noonmark(['status', volume.image])).stdout.toString();
	t.regex(status, /deleted to make room .* the disk of the diff area is full/);
	t.regex(readFileSync(join(storage, 'events.jsonl'), 'utf8'), /"kind":"copy-evicted"/);
	await noonmarkJson(['unmount', volume.image]);
	await runOk('e2fsck', ['-fn', volume.image]);
});

test('two deletions of the oldest copy at once delete two', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	for (let i = 0; i < 3; i++) await volume.create();
	const [first, second, third] = (await volume.list()).map(({ id }) => id);
	const pid = await volume.pid();
	const sockets = [1, 2].map(() => createConnection(socketPathIn(volumeDirectory(volume.image), { pid })));
	await Promise.all(sockets.map((socket) => once(socket, 'data'))); // its greeting
	process.kill(pid, 'SIGSTOP');
	for (const socket of sockets) socket.write('{"verb":"delete","which":{"oldest":true}}\n');
	process.kill(pid, 'SIGCONT');
	const answers = await Promise.all(sockets.map(async (socket) => String(await once(socket, 'data'))));
	const deleted = answers.map((answer) => (JSON.parse(answer) as { value: ShadowCopyJson[] }).value);
	t.deepEqual(
		deleted.map((copies) => copies.map(({ id }) => id)),
		[[first], [second]],
	);
	t.deepEqual(
		(await volume.list()).map(({ id }) => id),
		[third],
	);
});

test('one creation at a time', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const results = await Promise.all([1, 2, 3].map(() => noonmark(['create', volume.image, '--json'])));
	const errors = results.filter(({ code }) => code !== 0);
	t.true(results.some(({ code }) => code === 0));
	for (const { code, stdout } of errors) {
		t.is(code, 4);
		t.is(JSON.parse(stdout.toString()).error.code, 'creation-in-progress');
	}
	t.is((await volume.list()).length, results.length - errors.length);
});

test('the control socket is for its owner alone', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const directory = volumeDirectory(volume.image);
	const modes = await runOk('stat', ['-c', '%a %F', directory, socketPathIn(directory, { pid: await volume.pid() })]);
	t.is(modes.toString(), '700 directory\n600 socket\n');
});
