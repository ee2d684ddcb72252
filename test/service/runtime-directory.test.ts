/** What services leave beside their records: locks and logs; and whose record it is that a service takes away. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import anyTest, { type ExecutionContext } from 'ava';
import { processStamp, register, unregister, volumeDirectory } from '../../src/service/runtime-directory.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { eventually, noonmark, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup', 'setpriv') ? anyTest.serial : anyTest.serial.skip;

const left = (image: string) => {
	const directory = volumeDirectory(image);
	return ['', '.lock', '.log'].filter((ending) => existsSync(`${directory}${ending}`));
};

test('a service that ended in order, and a mount that was refused, leave neither lock nor log', async (t) => {
	const volume = new TestVolume(t);
	const link = join(volume.directory, 'link');
	symlinkSync(volume.image, link);
	await noonmarkOk(['mount', link, volume.mountpoint]);
	t.is((await noonmark(['mount', link, volume.data])).code, 4, 'a second service of the image');
	t.deepEqual(left(volume.image), ['', '.log']);
	await noonmarkOk(['unmount', link]);
	await eventually('the log is gone', () => left(volume.image).length === 0);
	for (const image of [volume.directory, join(volume.directory, 'none')]) {
		t.not((await noonmark(['mount', image, volume.mountpoint])).code, 0);
		t.deepEqual(left(image), [], image);
	}
	t.deepEqual(left(link), []);
});

test('who takes a volume off record leaves what its successor has put there, who moves in at any moment', async (t) => {
	const image = join(temporaryDirectory(t), 'image');
	const paths = { image, mountpoint: '/', live: null, data: null, storage: '/', readOnly: true };
	const volume = { ...paths, pid: process.pid, processStamp: processStamp(process.pid) };
	const { directory } = register(volume);
	t.teardown(() => rmSync(directory, { recursive: true, force: true }));
	writeFileSync(join(directory, 'control-1.sock'), '');
	unregister(volume);
	t.deepEqual(readdirSync(directory), ['control-1.sock']);
	rmSync(directory, { recursive: true });

	const remover = new Worker(
		`while (true) try { require('node:fs').rmdirSync(${JSON.stringify(directory)}) } catch {}`,
		{
			eval: true,
		},
	);
	t.teardown(() => void remover.terminate());
	await once(remover, 'online');
	for (let round = 0; round < 2000; round++) {
		register(volume);
		unregister(volume);
	}
	t.pass();
});

test('a service that ends late takes neither the record nor the socket of its successor', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const copy = await volume.create();
	const reader = spawn('sleep', ['60'], { cwd: copy.path, stdio: 'ignore' });
	t.teardown(() => reader.kill('SIGKILL'));
	await eventually('somebody is in the copy', async () => (await noonmark(['unmount', volume.image])).code === 4);
	const pid = await volume.pid();
	rmSync(volumeDirectory(volume.image), { recursive: true });
	process.kill(pid, 'SIGTERM');
	await eventually('all else is taken down', () => volume.leftovers().length === 0);
	await volume.mount();
	t.true(existsSync(`/proc/${pid}`), 'it waits for who is in the copy');
	reader.kill('SIGKILL');
	await eventually('the first service is gone', () => !existsSync(`/proc/${pid}`));
	t.not(await volume.pid(), pid);
	t.deepEqual(
		(await volume.list()).map(({ id }) => id),
		[copy.id],
	);
});

const USER = 65534;
const SERVICE = new URL('../../src/service/', import.meta.url).href;

/** Somebody with a runtime directory of their own. */
class User {
	readonly directory: string;
	readonly #home: string;

	constructor(t: ExecutionContext) {
		this.#home = temporaryDirectory(t);
		this.directory = join(this.#home, 'noonmark');
		chownSync(this.#home, USER, USER);
	}

	/** Runs a script in which the functions of mount-turn and service-logs can be called. */
	async run(script: string): Promise<void> {
		const imports = ['mount-turn', 'service-logs'].map((name) => `...await import('${SERVICE}${name}.js')`);
		const body = `const { turnToMount, removeLeftLocks, openServiceLog, removeOldLogs } = { ${imports} }; ${script}`;
		const ids = [`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'];
		const { code, stderr } = await run('setpriv', [...ids, process.execPath, '--input-type=module', '-e', body], {
			env: { ...process.env, XDG_RUNTIME_DIR: this.#home },
		});
		if (code !== 0) throw new Error(stderr);
	}

	write(name: string, text: string, writtenSec: number): void {
		const path = join(this.directory, name);
		writeFileSync(path, text);
		chownSync(path, USER, USER);
		utimesSync(path, writtenSec, writtenSec);
	}
}

test('locks that nobody holds are removed; a turn has its lock for itself, also who waited for one that was removed', async (t) => {
	const user = new User(t);
	await user.run("(await turnToMount(['/image']))()");
	t.deepEqual(readdirSync(user.directory), []);
	user.write('0123.lock', '', 1);
	await user.run(`
		const end = await turnToMount(['/image']);
		removeLeftLocks();
		let turns = 0;
		let most = 0;
		const others = [1, 2, 3].map(async () => {
			const end = await turnToMount(['/image']);
			most = Math.max(most, ++turns);
			await new Promise((resolve) => setTimeout(resolve, 100));
			turns--;
			end();
		});
		await new Promise((resolve) => setTimeout(resolve, 200));
		removeLeftLocks();
		if (most > 0) throw new Error('two turns at once');
		end();
		await Promise.all(others);
		if (most !== 1) throw new Error('two turns at once');`);
	t.deepEqual(readdirSync(user.directory), []);
});

test('of logs the newest are kept, and one that is long is begun anew', async (t) => {
	const user = new User(t);
	await user.run("(await turnToMount(['/image']))()");
	for (let i = 0; i < 25; i++) user.write(`${100 + i}.log`, 'it crashed\n', 1000 + i);
	const log = `${basename(volumeDirectory('/image'))}.log`;
	user.write(log, 'x'.repeat(1 << 20), 1);
	await user.run("openServiceLog('/image', Date.now()); removeOldLogs()");
	const newest = Array.from({ length: 19 }, (_, i) => `${106 + i}.log`);
	t.deepEqual(readdirSync(user.directory).sort(), [...newest, log].sort());
	t.is(statSync(join(user.directory, log)).size, 1 << 20, 'what the last service said stays');
	user.write(log, 'x'.repeat((1 << 20) + 1), 1);
	await user.run("openServiceLog('/image', Date.now())");
	t.is(statSync(join(user.directory, log)).size, 0);
});
