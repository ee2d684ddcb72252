/** The live device under load while copies come and go: what is written is there, what is kept does not change. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { ask } from '../../src/control/client.ts';
import type { ShadowCopyReport } from '../../src/control/messages.ts';
import { findVolume } from '../../src/service/find-volume.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { eventually, noonmarkOk, TestVolume } from '../helpers/volume.ts';
import { sha256OfFile } from './file-digest.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'python3', 'fio', 'fallocate', 'fstrim');
const test = canRun ? anyTest : anyTest.skip;

const SEED = Number(process.env.SEED ?? 20261124);
const DURATION_MS = 15_000;
const BETWEEN_COPIES_MS = 300;
/** Copies live shorter or longer, so that they go in any order. */
const LIFE_MS_MAX = 3000;
const FILE_BYTES = 48 << 20;

test('fio verifies what it writes while copies are made, read and deleted', async (t) => {
	t.timeout(240_000);
	t.log(`seed ${SEED}`);
	const volume = new TestVolume(t, { sizeBytes: 256 << 20 });
	await volume.mount('--max-size', 'unbounded');
	await shell('head -c "$2" /dev/urandom > "$1/file"; sync "$1/file"', [volume.data, String(FILE_BYTES)]);
	const expected = await sha256OfFile(join(volume.data, 'file'));
	const oldest = await volume.create();

	const [fioRounds, trims, reads, copies] = await together([
		(goOn) => writeAndVerify(volume, goOn),
		(goOn) => punchAndTrim(volume, goOn),
		(goOn) => readAgain(t, join(oldest.path, 'file'), expected, goOn),
		(goOn) => makeAndDeleteCopies(t, volume, goOn),
	]);
	t.log(`${fioRounds} rounds of fio, ${trims} trims, ${copies} copies, the oldest read ${reads} times`);
	t.true(fioRounds! > 0 && trims! > 0 && reads! > 0 && copies! > 2);
	t.is(await sha256OfFile(join(oldest.path, 'file')), expected);

	await noonmarkOk(['unmount', volume.image]);
	await eventually('no mount or loop device is left', () => volume.leftovers().length === 0);
	const check = await run('e2fsck', ['-fn', volume.image]);
	t.is(check.code, 0, check.stdout.toString());
});

/** Lets all of them go on for a while, or until one fails; resolves when none is under way any more. */
async function together(actions: readonly ((goOn: () => boolean) => Promise<number>)[]): Promise<number[]> {
	let endMs = performance.now() + DURATION_MS;
	const goOn = () => performance.now() < endMs;
	const running = actions.map((action) => action(goOn));
	for (const action of running)
		action.catch(() => {
			endMs = 0;
		});
	await Promise.allSettled(running);
	return Promise.all(running);
}

/** Overwrites the file in place, in random order and sizes, past the page cache and through it, and reads it all back. */
async function writeAndVerify(volume: TestVolume, goOn: () => boolean): Promise<number> {
	const random = new Random(SEED);
	let rounds = 0;
	for (; goOn(); rounds++) {
		await runOk('fio', [
			...['--name=live', `--filename=${join(volume.data, 'file')}`, `--size=${FILE_BYTES}`, '--overwrite=1'],
			...['--rw=randwrite', '--bsrange=4k-64k', '--fsync=32', '--ioengine=psync', `--direct=${rounds % 2}`],
			...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', `--randseed=${random.integer(2 ** 31)}`],
		]);
	}
	return rounds;
}

/** Makes holes in files, deletes files, and tells the live device what is free. */
async function punchAndTrim(volume: TestVolume, goOn: () => boolean): Promise<number> {
	const script = `
cd "$1"
head -c 8M /dev/urandom > whole; cp whole punched; sync punched
fallocate --punch-hole --offset 1M --length 2M punched; dd if=/dev/zero of=whole bs=1M seek=1 count=2 conv=notrunc 2> /dev/null
fallocate --zero-range --offset 5M --length 1M punched; dd if=/dev/zero of=whole bs=1M seek=5 count=1 conv=notrunc 2> /dev/null
sync whole punched; dd if=whole iflag=nocache count=0 2> /dev/null; dd if=punched iflag=nocache count=0 2> /dev/null
cmp whole punched
rm whole punched; sync --file-system .; fstrim .`;
	let rounds = 0;
	for (; goOn(); rounds++) await shell(script, [volume.data]);
	return rounds;
}

/** Reads a file of a copy that the volume no longer has. */
async function readAgain(t: ExecutionContext, path: string, expected: string, goOn: () => boolean): Promise<number> {
	let rounds = 0;
	for (; goOn(); rounds++) t.is(await sha256OfFile(path), expected, `round ${rounds}`);
	return rounds;
}

/** Every copy must read the same when it is young and before it goes. */
async function makeAndDeleteCopies(t: ExecutionContext, volume: TestVolume, goOn: () => boolean): Promise<number> {
	const { socketPath } = await findVolume(volume.image);
	const random = new Random(SEED);
	const lives: Promise<void>[] = [];
	const lifeOf = async ({ id, path, name }: ShadowCopyReport) => {
		const young = await sha256OfFile(join(path, 'file'));
		await delay(random.integer(LIFE_MS_MAX));
		t.is(await sha256OfFile(join(path, 'file')), young, name);
		await ask(socketPath, { verb: 'delete', which: { named: [id] } });
	};
	while (goOn()) {
		const [copy] = await ask<ShadowCopyReport[]>(socketPath, { verb: 'create' });
		const life = lifeOf(copy!);
		life.catch(() => {}); // it is looked at below
		lives.push(life);
		await delay(BETWEEN_COPIES_MS);
	}
	await Promise.all(lives);
	return lives.length;
}
