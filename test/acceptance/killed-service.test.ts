/** The service is killed again and again while old chunks are being kept: no copy may lose a byte to a torn write. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest from 'ava';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, shell } from '../helpers/run.ts';
import { eventually, noonmark, type ShadowCopyJson, TestVolume } from '../helpers/volume.ts';
import { sha256OfFile } from './file-digest.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'python3', 'fio');
const test = canRun ? anyTest : anyTest.skip;

const SEED = Number(process.env.SEED ?? 20261124);
const ROUNDS = 4;
const FILE_BYTES = 48 << 20;

test('shadow copies outlive a service that is killed in the midst of first overwrites', async (t) => {
	t.timeout(240_000);
	t.log(`seed ${SEED}`);
	const random = new Random(SEED);
	const volume = new TestVolume(t, { sizeBytes: 256 << 20 });
	const file = join(volume.data, 'file');
	await volume.mount('--max-size', 'unbounded');
	await shell('head -c "$2" /dev/urandom > "$1"; sync "$1"', [file, String(FILE_BYTES)]);

	const kept: { copy: ShadowCopyJson; expected: string }[] = [];
	for (let round = 0; round < ROUNDS; round++) {
		kept.push({ copy: await volume.create(), expected: await sha256OfFile(file) });
		const pid = await volume.pid();
		const writer = run('fio', [
			...['--name=writer', `--filename=${file}`, `--size=${FILE_BYTES}`, '--overwrite=1', '--rw=randwrite'],
			...['--bsrange=4k-64k', '--fsync=8', '--ioengine=psync', '--direct=1', `--randseed=${random.integer(2 ** 31)}`],
			...['--time_based', '--runtime=50'],
		]);
		await delay(800 + random.integer(1500));
		process.kill(pid, 'SIGKILL');
		await eventually('the service has ended', () => !readdirSync('/proc').includes(String(pid)));
		t.true((await writer).code! > 0, 'a write to what is no longer there fails; it does not hang until it is killed');
		await volume.mount('--max-size', 'unbounded');
		for (const [i, { copy, expected }] of kept.entries()) {
			t.is(await sha256OfFile(join(copy.path, 'file')), expected, `copy ${i} after round ${round}`);
		}
	}
	t.deepEqual(
		(await volume.list()).map(({ id }) => id),
		kept.map(({ copy }) => copy.id),
	);

	t.is((await noonmark(['unmount', volume.image])).code, 0);
	await eventually('no mount or loop device is left', () => volume.leftovers().length === 0);
	const check = await run('e2fsck', ['-fn', volume.image]);
	t.is(check.code, 0, check.stdout.toString());
});
