/** The whole way as a user has it, through the command line: three previous versions of a volume that is rewritten. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import anyTest, { type ExecutionContext } from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, shell } from '../helpers/run.ts';
import { eventually, noonmarkOk, TestVolume } from '../helpers/volume.ts';
import { differences, dropCaches, type KeptState, keepState, ReaderLoop, rsyncDifferences } from './kept-state.ts';
import { changeState, fillUp, wipe, writeFirstState } from './states.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'python3', 'rsync', 'setfacl', 'fsfreeze', 'fallocate', 'dd');
const test = canRun ? anyTest : anyTest.skip;

const SEED = Number(process.env.SEED ?? 20261124);

test('three previous versions stay what they were, whatever happens to the volume and to the service', async (t) => {
	t.timeout(600_000);
	t.log(`seed ${SEED}`);
	const volume = new TestVolume(t, { sizeBytes: 1 << 30 });
	await volume.mount('--max-size', 'unbounded');
	const states = await makeHistory(t, volume);

	await checkCopies(t, volume, states, 'after the volume was wiped and filled');
	for (const [i, state] of states.entries()) {
		t.is(await rsyncDifferences(state, i === 0 ? '2100m' : '100m'), '', `rsync: ${state.copy.name}`);
	}
	progress(t, 'compared by rsync');

	await unmount(volume, volume.mountpoint);
	await volume.mount('--max-size', 'unbounded');
	await checkCopies(t, volume, states, 'after unmount and mount');

	await killInUse(t, volume, states[1]!);
	await checkCopies(t, volume, states, 'after the service was killed');

	await unmount(volume, volume.data);
	const check = await run('e2fsck', ['-fn', volume.image]);
	t.is(check.code, 0, check.stdout.toString());
});

/** How long the test has taken so far: where its time goes. */
function progress(t: ExecutionContext, what: string): void {
	t.log(`${(performance.now() / 1000).toFixed(0)} s: ${what}`);
}

/** Three states and their copies; then nothing of them is left on the volume. Copies are read meanwhile. */
async function makeHistory(t: ExecutionContext, volume: TestVolume): Promise<KeptState[]> {
	await writeFirstState(volume.data, SEED);
	const states = [await keepState(volume, 'a')];
	progress(t, 'first state');
	t.true(states[0]!.tree.length > 34_000);
	const reader = new ReaderLoop();
	try {
		reader.add(states[0]!);
		for (const [i, label] of ['b', 'c'].entries()) {
			await changeState(volume.data, SEED + 1 + i);
			states.push(await keepState(volume, label));
			reader.add(states.at(-1)!);
			progress(t, `state ${label}`);
		}
		do {
			await wipe(volume.data);
			t.regex(await fillUp(volume.data), /No space left on device/);
			progress(t, 'wiped and filled');
		} while (reader.rounds < 3);
	} finally {
		const { rounds, differences } = await reader.stop();
		progress(t, `copies read ${rounds} times while the volume was written to`);
		t.deepEqual(differences, []);
		t.true(rounds >= 3);
	}
	return states;
}

/** All copies are there, no other, and each is what it was. */
async function checkCopies(t: ExecutionContext, volume: TestVolume, states: readonly KeptState[], when: string) {
	const listed = await volume.list();
	t.deepEqual(
		listed.map(({ id, path }) => ({ id, path })),
		states.map(({ copy: { id, path } }) => ({ id, path })),
		when,
	);
	dropCaches();
	const found = await Promise.all(states.map(differences));
	for (const [i, lines] of found.entries()) t.deepEqual(lines, [], `${states[i]!.copy.name} ${when}`);
	progress(t, `compared ${when}`);
}

/** Unmounts; no mount, loop device or process of the volume is there afterwards. */
async function unmount(volume: TestVolume, target: string): Promise<void> {
	const pid = await volume.pid();
	await noonmarkOk(['unmount', target]);
	await eventually('no mount or loop device is left', () => volume.leftovers().length === 0);
	await processEnd(pid);
}

const processEnd = (pid: number) =>
	eventually(`process ${pid} has ended`, () => !readdirSync('/proc').includes(String(pid)));

/** Kills the service while one program is inside a copy and another one writes; mounts again. */
async function killInUse(t: ExecutionContext, volume: TestVolume, { copy }: KeptState): Promise<void> {
	await shell('rm "$1/fill"; echo kept > "$1/survivor"; sync "$1/survivor"', [volume.data]);
	const reader = user(t, 'cd "$1"; exec 3< every-kind; echo ready; while ls -lR . > /dev/null; do :; done; pwd', [
		copy.path,
	]);
	const writer = user(
		t,
		'echo ready; while dd if=/dev/urandom of="$1/written" bs=64k count=100 conv=notrunc,fsync; do :; done',
		[volume.data],
	);
	await Promise.all([reader.ready, writer.ready]);
	await new Promise((resolve) => setTimeout(resolve, 1500));

	const pid = await volume.pid();
	process.kill(pid, 'SIGKILL');
	await processEnd(pid);
	t.regex((await run('ls', [copy.path])).stderr, /Transport endpoint is not connected/);
	await volume.mount('--max-size', 'unbounded');
	t.is(
		await Promise.race([writer.ended, late()]),
		'ended',
		'a write to what is no longer there fails, it does not hang',
	);
	t.is(await Promise.race([reader.ended, late()]), 'ended', 'so does a read');
	t.is((await shell('cat "$1/survivor"', [volume.data])).toString(), 'kept\n');
}

/** A program of somebody who uses the volume: a shell script that prints `ready` and ends by itself. */
function user(t: ExecutionContext, script: string, args: readonly string[]) {
	const child: ChildProcess = spawn('bash', ['-c', script, 'bash', ...args], {
		stdio: ['ignore', 'pipe', 'ignore'],
		timeout: 300_000,
		killSignal: 'SIGKILL',
	});
	t.teardown(() => child.kill('SIGKILL'));
	return {
		ready: new Promise<void>((resolve) => child.stdout!.once('data', () => resolve())),
		ended: new Promise<'ended'>((resolve) => child.once('exit', () => resolve('ended'))),
	};
}

const late = () => new Promise<'late'>((resolve) => setTimeout(() => resolve('late'), 30_000).unref());
