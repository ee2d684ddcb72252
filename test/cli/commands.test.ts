import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { parseMaximumSize } from '../../cli/size.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { noonmark, noonmarkJson, TestVolume } from '../helpers/volume.ts';

const mountTest = canMount && programs('mke2fs') ? anyTest.serial : anyTest.serial.skip;
const test = anyTest.serial;
const CLI = join(import.meta.dirname, '..', '..', 'cli');

test('the help names every command and the exit codes; each command has its own', async (t) => {
	const { code, stdout } = await noonmark(['--help']);
	t.is(code, 0);
	const commands = readdirSync(join(CLI, 'commands')).flatMap((name) => /^(\w+)\.js$/.exec(name)?.[1] ?? []);
	t.true(commands.length > 10);
	for (const command of commands) {
		t.regex(stdout.toString(), new RegExp(`^ +${command} `, 'm'));
		const help = await noonmark([command, '--help']);
		t.is(help.code, 0);
		t.regex(help.stdout.toString(), new RegExp(`Usage\\s+\\$ noonmark ${command} .*--json`, 's'));
	}
	t.regex(stdout.toString(), /0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 damaged/);
});

test('the version is that of the package', async (t) => {
	t.regex((await noonmark(['--version'])).stdout.toString(), /^\d+\.\d+\.\d+\n$/);
});

for (const args of [
	[],
	['frobnicate'],
	['create'],
	['create', 'a', 'b'],
	['mount', 'image'],
	['mount', 'image', 'dir', '--no-such-flag'],
	['mount', 'image', 'dir', '--max-size', 'plenty'],
	['mount', 'image', 'dir', '--cache-size', '10%'],
	['delete', 'target'],
	['delete', 'target', 'name', '--all'],
	['list', 'shadows', 'a', 'b'],
	['resize', 'target'],
	['resize', 'target', '--max-size', 'plenty'],
	['resize', 'target', '--max-size', '999999999T'],
	['mount', 'image', 'dir', '--data', ''],
	['status', ''],
]) {
	test(`usage: noonmark ${args.join(' ')}`, async (t) => {
		const { code, stderr } = await noonmark(args);
		t.is(code, 2);
		t.regex(stderr, /^noonmark: .+\n/);
		t.false(/^\s+at /m.test(stderr), stderr);
	});
}

test('an unknown target: exit 3, one line on stderr, an object on stdout with --json', async (t) => {
	for (const args of [['create'], ['unmount'], ['status'], ['list', 'storage'], ['delete', '--all']]) {
		const [verb, ...rest] = args as [string, ...string[]];
		const { code, stderr, stdout } = await noonmark([verb, ...rest, '/no/such/volume', '--json']);
		t.is(code, 3);
		t.regex(stderr, /^noonmark: \/no\/such\/volume: belongs to no mounted volume; .*\n$/);
		t.is(JSON.parse(stdout.toString()).error.code, 'no-such-volume');
	}
});

mountTest('every path of a volume is a target; what is printed keeps its shape', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount('--max-size', '20M');
	const [image, mountpoint, live, data, storage] = [
		volume.image,
		volume.mountpoint,
		volume.live,
		volume.data,
		volume.storage,
	];
	const pid = await volume.pid();
	const copy = await volume.create();
	const expected = { image, mountpoint, live, data, storage, pid, shadowCopyCount: 1, frozen: false, readOnly: false };
	for (const target of [image, mountpoint, live, data, copy.path, join(data, 'lost+found')]) {
		t.deepEqual(await noonmarkJson(['status', target]), { volumes: [expected] }, target);
	}
	t.deepEqual(Object.keys(copy), [
		'id',
		'setId',
		'name',
		'createdAt',
		'path',
		'volume',
		'provider',
		'state',
		'fault',
		'attributes',
		'preservedBytes',
		'freedByDeletingBytes',
	]);
	t.is(copy.path, join(mountpoint, copy.name));
	t.is(copy.name.replace(/\D/g, ''), copy.createdAt.slice(0, 19).replace(/\D/g, ''));
	const { storage: areas } = await noonmarkJson<{ storage: Record<string, unknown>[] }>(['list', 'storage', image]);
	t.deepEqual(Object.keys(areas[0]!), [
		'volume',
		'path',
		'usedBytes',
		'allocatedBytes',
		'maximumBytes',
		'freeSpaceKnown',
	]);
	t.is(areas[0]!.maximumBytes, 20 << 20);
	t.regex(
		(await noonmark(['list', image])).stdout.toString(),
		/^NAME +CREATED \(UTC\) +PRESERVED +FREED BY DELETING +VOLUME +ID +STATE\n@GMT-/,
	);
	const main = join(CLI, 'main.js');
	const full = await run('sh', ['-c', '"$@" > /dev/full', 'sh', process.execPath, main, 'list', image]);
	t.is(full.code, 1);
	t.regex(full.stderr, /^noonmark: what was to be said could not be written: ENOSPC.*\n$/, 'no stack trace');
	const missing = await noonmark(['delete', image, '@GMT-2000.01.01-00.00.00', '--json']);
	t.is(missing.code, 3);
	t.true(missing.stderr.includes(copy.name));
	// A terminal that says no, or nothing more (Ctrl-D).
	for (const input of ['n\n', '\x04']) {
		const command = [process.execPath, main, 'delete', image, '--all', '--json'].join(' ');
		const { stdout } = await run('script', ['-qec', command, '/dev/null'], { input });
		t.regex(
			stdout.toString(),
			/Delete all shadow copies\? \[y\/N\] .*\{"shadowCopies":\[\]\}\r\n$/s,
			JSON.stringify(input),
		);
	}
	const listed = await volume.list();
	const deleted = listed.map((report) => ({ ...report, freedByDeletingBytes: null }));
	t.deepEqual(await noonmarkJson(['delete', image, copy.id]), { shadowCopies: deleted });
});

test('maximum sizes', (t) => {
	t.deepEqual(parseMaximumSize('500M'), { bytes: 500 * 2 ** 20 });
	t.deepEqual(parseMaximumSize('1.5GiB'), { bytes: 1.5 * 2 ** 30 });
	t.deepEqual(parseMaximumSize('4096'), { bytes: 4096 });
	t.deepEqual(parseMaximumSize('15%'), { percent: 15 });
	t.is(parseMaximumSize('UNBOUNDED'), 'unbounded');
	for (const text of ['', '0', '0%', '-1', 'M', '10 parsecs', '8P', '9000T', '1000000%'])
		t.is(parseMaximumSize(text), undefined, text);
});
