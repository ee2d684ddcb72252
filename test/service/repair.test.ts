/** Damage of every kind, as a user meets it: what is named, what is kept, and the way out. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { eventually, noonmark, noonmarkJson, type ShadowCopyJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'e2fsck', 'losetup') ? anyTest.serial : anyTest.serial.skip;

const read = async (path: string) => (await runOk('cat', [path])).toString();

interface Verified {
	readonly name: string;
	readonly state: string;
	readonly faults: string[];
	readonly files: string[];
}

async function verified(t: ExecutionContext, volume: TestVolume, expectedCode: number): Promise<Verified[]> {
	const { code, stdout, stderr } = await noonmark(['verify', volume.image, '--json']);
	t.is(code, expectedCode, stderr);
	return (JSON.parse(stdout.toString()) as { shadowCopies: Verified[] }).shadowCopies;
}

/** Fills a file with a line, over what it held. */
const put = (volume: TestVolume, file: string, line: string) =>
	shell('dd of="$1" conv=notrunc status=none; sync -f "$1"', [join(volume.data, 'dir', file)], {
		input: line.repeat(20_000),
	});

/** Two copies; `first` and `second` were overwritten after the one and after the other. */
async function twoCopies(volume: TestVolume): Promise<[ShadowCopyJson, ShadowCopyJson]> {
	await volume.mount();
	await shell('mkdir "$1/dir"', [volume.data]);
	for (const file of ['first', 'second']) await put(volume, file, `${file} old\n`);
	const copies: ShadowCopyJson[] = [];
	for (const file of ['first', 'second']) {
		copies.push(await volume.create());
		await put(volume, file, `${file} new\n`);
	}
	return copies as [ShadowCopyJson, ShadowCopyJson];
}

/** Flips a bit where a segment holds this text. */
function damage(volume: TestVolume, text: string): string {
	for (const name of readdirSync(volume.storage).filter((name) => name.endsWith('.segment'))) {
		const path = join(volume.storage, name);
		const bytes = readFileSync(path);
		const at = bytes.indexOf(text, 0, 'latin1');
		if (at < 0) continue;
		bytes[at]! ^= 1;
		writeFileSync(path, bytes);
		return path;
	}
	throw new Error(`no segment holds ${text}`);
}

for (const mounted of [true, false]) {
	test(`a rotten chunk: verify names the copy and the file, repair deletes that copy alone (${mounted ? 'mounted' : 'unmounted'})`, async (t) => {
		const volume = new TestVolume(t);
		const [first, second] = await twoCopies(volume);
		t.deepEqual(
			(await verified(t, volume, 0)).map(({ state }) => state),
			['sound', 'sound'],
		);
		if (!mounted) await noonmarkJson(['unmount', volume.image]);
		const path = damage(volume, 'first old');
		const found = await verified(t, volume, 5);
		t.like(found, [
			{ name: first.name, state: 'damaged', files: ['/dir/first'] },
			{ name: second.name, state: 'sound', files: [], faults: [] },
		]);
		t.true(found[0]!.faults[0]!.startsWith(`${path}: the checksum of chunk`), found[0]!.faults[0]);
		const { shadowCopies: dropped } = await noonmarkJson<{ shadowCopies: Verified[] }>(['repair', volume.image]);
		t.deepEqual(
			dropped.map(({ name }) => name),
			[first.name],
		);
		if (!mounted) await volume.mount();
		t.deepEqual(
			(await volume.list()).map(({ name }) => name),
			[second.name],
		);
		t.is((await read(join(second.path, 'dir/second'))).slice(0, 11), 'second old\n');
		t.is((await read(join(second.path, 'dir/first'))).slice(0, 10), 'first new\n');
		t.deepEqual(await verified(t, volume, 0), [{ ...found[1]! }]);
		await noonmarkJson(['unmount', volume.image]);
		await runOk('e2fsck', ['-fn', volume.image]);
	});
}

/** `noonmark repair` on a terminal where this is typed. */
async function repairOnTerminal(volume: TestVolume, typed: string): Promise<string> {
	const main = join(import.meta.dirname, '..', '..', 'cli', 'main.js');
	const command = [process.execPath, main, 'repair', volume.image].join(' ');
	const { code, stdout } = await run('script', ['-qec', command, '/dev/null'], { input: typed });
	if (code !== 0) throw new Error(`exit ${code}: ${stdout}`);
	return stdout.toString();
}

for (const mounted of [true, false]) {
	test(`on a terminal repair asks when it has found something, and names it (${mounted ? 'mounted' : 'unmounted'})`, async (t) => {
		const volume = new TestVolume(t);
		const [first, second] = await twoCopies(volume);
		if (!mounted) await noonmarkJson(['unmount', volume.image]);
		t.regex(await repairOnTerminal(volume, 'y\n'), /Nothing is damaged\.\r\n$/);
		damage(volume, 'first old');
		const states = async (expectedCode: number) =>
			(await verified(t, volume, expectedCode)).map(({ name, state }) => [name, state]);
		const question = `Delete ${first.name}? [y/N]`;
		const refusal = await repairOnTerminal(volume, 'n\n');
		t.regex(refusal, /damaged\r\n.*the checksum of chunk .*\/dir\/first\r\n.*Nothing was deleted\.\r\n$/s);
		t.true(refusal.includes(question), refusal);
		t.deepEqual(await states(5), [
			[first.name, 'damaged'],
			[second.name, 'sound'],
		]);
		const consent = await repairOnTerminal(volume, 'y\n');
		t.true(consent.includes(question) && consent.endsWith(`deleted ${first.name}\r\n`), consent);
		t.deepEqual(await states(0), [[second.name, 'sound']]);
	});
}

test('a missing segment: the copy is listed as unreadable with the reason, and comes back with it', async (t) => {
	const volume = new TestVolume(t);
	const [first, second] = await twoCopies(volume);
	await noonmarkJson(['unmount', volume.image]);
	const path = join(volume.storage, 'epoch-00000001.segment');
	renameSync(path, `${path}.away`);
	await volume.mount();
	t.like(await volume.list(), [
		{ name: first.name, state: 'unreadable', fault: `${path}: the segment is missing` },
		{ name: second.name, state: 'created', fault: null },
	]);
	t.deepEqual((await runOk('ls', [volume.mountpoint])).toString(), `${second.name}\n`);
	t.regex((await noonmark(['list', volume.image])).stdout.toString(), /unreadable: .*is missing/);
	t.regex((await noonmark(['events', volume.image])).stdout.toString(), /copy-unreadable .*segment is missing/);
	t.like(await verified(t, volume, 5), [{ state: 'unreadable' }, { state: 'sound' }]);
	await noonmarkJson(['unmount', volume.image]);
	renameSync(`${path}.away`, path);
	await volume.mount();
	t.is((await read(join(first.path, 'dir/first'))).slice(0, 10), 'first old\n');
	t.like(await volume.list(), [{ state: 'created' }, { state: 'created' }]);
});

async function refused(t: ExecutionContext, volume: TestVolume, error: string, says: RegExp): Promise<void> {
	const { code, stdout, stderr } = await noonmark(['mount', volume.image, volume.mountpoint, '--json']);
	t.is(code, 4, stderr);
	t.is(JSON.parse(stdout.toString()).error.code, error);
	t.regex(stderr, says);
	t.deepEqual(volume.leftovers(), []);
}

test('a lost storage: the mount is refused and makes no new one, until it is back or given up', async (t) => {
	const volume = new TestVolume(t);
	const [, second] = await twoCopies(volume);
	await noonmarkJson(['unmount', volume.image]);
	const away = `${volume.storage}.away`;
	renameSync(volume.storage, away);
	await refused(t, volume, 'storage-lost', /put it back.*repair IMAGE --discard/);
	t.false(existsSync(volume.storage), 'no storage is left behind');
	renameSync(away, volume.storage);
	await volume.mount();
	t.is((await read(join(second.path, 'dir/second'))).slice(0, 11), 'second old\n');
	await noonmarkJson(['unmount', volume.image]);
	rmSync(volume.storage, { recursive: true });
	await noonmarkJson(['repair', volume.image, '--discard']);
	await volume.mount();
	t.deepEqual(await volume.list(), []);
});

test('another storage than the one with the copies is refused; without copies any will do', async (t) => {
	const volume = new TestVolume(t);
	await twoCopies(volume);
	await noonmarkJson(['unmount', volume.image]);
	const other = new TestVolume(t);
	await other.mount();
	await noonmarkJson(['unmount', other.image]);
	renameSync(volume.storage, `${volume.storage}.away`);
	renameSync(other.storage, volume.storage);
	await refused(t, volume, 'storage-foreign', /another volume/);
	rmSync(volume.storage, { recursive: true });
	renameSync(`${volume.storage}.away`, volume.storage);
	await volume.mount();
	await noonmarkJson(['delete', volume.image, '--all']);
	await noonmarkJson(['unmount', volume.image]);
	rmSync(volume.storage, { recursive: true });
	await volume.mount();
});

const CHANGE = 'mkdir -p "$1/m"; mount -o loop "$2" "$1/m"; echo x > "$1/m/x"; umount "$1/m"';

/** The last is what a host shows that keeps whole seconds. */
const TIMES = ['after an unmount', 'after a kill', 'within the second of the unmount'] as const;

for (const time of TIMES) {
	test(`a volume that was changed behind Noonmark's back ${time}: refused, trusted, or given up`, async (t) => {
		const volume = new TestVolume(t);
		const [first] = await twoCopies(volume);
		if (time === 'after a kill') {
			const pid = await volume.pid();
			process.kill(pid, 'SIGKILL');
			await eventually('the service is gone', () => !existsSync(`/proc/${pid}`));
			await volume.mount(); // a kill alone is no change
			process.kill(await volume.pid(), 'SIGKILL');
			await eventually('the service is gone', async () => (await noonmark(['status', volume.image])).code === 3);
		} else {
			await noonmarkJson(['unmount', volume.image]);
		}
		const reference = join(volume.directory, 'reference');
		await shell('touch -r "$1" "$2"', [volume.image, reference]);
		await shell(CHANGE, [volume.directory, volume.image]);
		if (time === 'within the second of the unmount') await shell('touch -r "$2" "$1"', [volume.image, reference]);
		await refused(t, volume, 'volume-changed', /changed while Noonmark was not in between.*--discard.*--trust/);
		const { code, stderr } = await noonmark(['verify', volume.image]);
		t.is(code, 4, stderr);
		await noonmarkJson(['repair', volume.image, '--trust']);
		await volume.mount();
		t.is((await volume.list()).length, 2);
		t.is((await read(join(first.path, 'dir/first'))).slice(0, 10), 'first old\n');
	});
}
