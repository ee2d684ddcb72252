/** The live device under load while copies come and go: what is written is there, what is kept does not change. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { ask } from '../../src/control/client.ts';
import type { ShadowCopyReport } from '../../src/control/messages.ts';
import { findVolume } from '../../src/service/runtime-directory.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { eventually, noonmark, TestVolume } from '../helpers/volume.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'python3', 'fio', 'fallocate', 'fstrim');
const test = canRun ? anyTest : anyTest.skip;

const SEED = Number(process.env.SEED ?? 20261124);
const DURATION_MS = 15_000;
const BETWEEN_COPIES_MS = 300;
/** Copies that live beside the first one. */
const COPIES_MAX = 3;
const FILE_BYTES = 48 << 20;

test('fio verifies what it writes while copies are made, read and deleted', async (t) => {
	t.timeout(240_000);
	t.log(`seed ${SEED}`);
	const volume = new TestVolume(t, { sizeBytes: 256 << 20 });
	await volume.mount('--max-size', 'unbounded');
	await shell('head -c "$2" /dev/urandom > "$1/file"; sync "$1/file"', [volume.data, String(FILE_BYTES)]);
	const expected = await sha256(join(volume.data, 'file'));
	const oldest = await volume.create();

	const endMs = performance.now() + DURATION_MS;
	const goOn = () => performance.now() < endMs;
	const [fioRounds, trims, reads, copies] = await Promise.all([
		writeAndVerify(volume, goOn),
		punchAndTrim(volume, goOn),
		readAgain(t, join(oldest.path, 'file'), expected, goOn),
		makeAndDeleteCopies(t, volume, goOn),
	]);
	t.log(`${fioRounds} rounds of fio, ${trims} trims, ${copies} copies, the oldest read ${reads} times`);
	t.true(fioRounds > 0 && trims > 0 && reads > 0 && copies > COPIES_MAX);
	t.is(await sha256(join(oldest.path, 'file')), expected);

	t.is((await noonmark(['unmount', volume.image])).code, 0);
	await eventually('no mount or loop device is left', () => volume.leftovers().length === 0);
	const check = await run('e2fsck', ['-fn', volume.image]);
	t.is(check.code, 0, check.stdout.toString());
});

/** Overwrites the file in place, in random order and sizes, past the page cache and through it, and reads it all back. */
async function writeAndVerify(volume: TestVolume, goOn: () => boolean): Promise<number> {
	const random = new Random(SEED);
	let rounds = 0;
	for (; goOn(); rounds++) {
		await runOk('fio', [
			...['--name=live', `--filename=${join(volume.data, 'file')}`, `--size=${FILE_BYTES}`, '--overwrite=1'],
			...['--rw=randwrite', '--bsrange=4k-64k', '--fsync=32', '--ioengine=psync', `--direct=${rounds % 2}`],
			...['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', `--randseed=${random.integer(2 ** 31)}`],
		]);
	}
	return rounds;
}

/** Makes holes in files, deletes files, and tells the live device what is free. */
async function punchAndTrim(volume: TestVolume, goOn: () => boolean): Promise<number> {
	const script = `
cd "$1"
head -c 8M /dev/urandom > whole; cp whole punched; sync punched
fallocate --punch-hole --offset 1M --length 2M punched; fallocate --zero-range --offset 5M --length 1M punched
sync punched; dd if=punched iflag=nocache count=0 2> /dev/null
cmp <(head -c 1M whole; head -c 2M /dev/zero; tail -c +3145729 whole | head -c 2M; head -c 1M /dev/zero; tail -c 2M whole) punched
rm whole punched; sync --file-system .; fstrim .`;
	let rounds = 0;
	for (; goOn(); rounds++) await shell(script, [volume.data]);
	return rounds;
}

/** Reads a file of a copy that the volume no longer has. */
async function readAgain(t: ExecutionContext, path: string, expected: string, goOn: () => boolean): Promise<number> {
	let rounds = 0;
	for (; goOn(); rounds++) t.is(await sha256(path), expected, `round ${rounds}`);
	return rounds;
}

/** Every copy must read the same when it is young and before it goes. */
async function makeAndDeleteCopies(t: ExecutionContext, volume: TestVolume, goOn: () => boolean): Promise<number> {
	const { socketPath } = await findVolume(volume.image);
	const random = new Random(SEED);
	const living: { copy: ShadowCopyReport; young: Promise<string> }[] = [];
	let made = 0;
	for (; goOn(); made++) {
		const [copy] = await ask<ShadowCopyReport[]>(socketPath, { verb: 'create' });
		living.push({ copy: copy!, young: sha256(join(copy!.path, 'file')) });
		if (living.length > COPIES_MAX) {
			const { copy: old, young } = living.splice(random.integer(COPIES_MAX), 1)[0]!;
			t.is(await sha256(join(old.path, 'file')), await young, old.name);
			await ask(socketPath, { verb: 'delete', which: { named: [old.id] } });
		}
		await delay(BETWEEN_COPIES_MS);
	}
	for (const { copy, young } of living) t.is(await sha256(join(copy.path, 'file')), await young, copy.name);
	return made;
}

/** The digest of what a file's device has: pages that are cached are let go first. */
async function sha256(path: string): Promise<string> {
	const script = `
import hashlib, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
digest = hashlib.sha256()
while part := os.read(fd, 1 << 20): digest.update(part)
print(digest.hexdigest())`;
	return (await runOk('python3', ['-c', script, path])).toString().trim();
}
