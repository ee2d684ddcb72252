/**
 * The service is killed again and again while old chunks are being kept: no copy may lose a byte to a torn write, and
 * what a program has synced must be there. `ROUNDS` and `SEED` as variables make it longer, and other.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { eventually, noonmarkOk, type ShadowCopyJson, TestVolume } from '../helpers/volume.ts';
import { sha256OfFile } from './file-digest.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'python3');
const test = canRun ? anyTest : anyTest.skip;

const SEED = Number(process.env.SEED ?? 20261124);
const ROUNDS = Number(process.env.ROUNDS ?? 10);
const FILE_BYTES = 16 << 20;
const WRITERS = 2;
const STARTED = Array.from({ length: WRITERS }, (_, i) => `started-${i}`);
/** So many copies are compared after each round; all of them at the end. */
const COMPARED_EACH_ROUND = 4;

/**
 * Overwrites random blocks with their number and that of the write; says what it has synced, until a write fails. The
 * file `started` is there once it has synced something.
 */
const WRITE = `
import json, os, random, struct, sys
path, started, seed, first, count, sequence = *sys.argv[1:3], *map(int, sys.argv[3:])
fd, rng = os.open(path, os.O_RDWR), random.Random(seed)
try:
    while True:
        pending = {}
        for _ in range(8):
            sequence += 1
            start = first + rng.randrange(count)
            blocks = range(start, min(start + rng.choice([1, 4, 16]), first + count))
            os.pwrite(fd, b''.join(struct.pack('<QQ', block, sequence) * 256 for block in blocks), start * 4096)
            pending.update({block: sequence for block in blocks})
        os.fsync(fd)
        print(json.dumps(pending), flush=True)
        open(started, 'a').close()
except OSError: pass
`;

/**
 * Prints the number of the oldest write that each of the blocks has a part of; -1 where a part is of none. A block that
 * was written again, and not synced, may be torn: it may be under way while the other writer syncs the file.
 */
const READ = `
import json, os, struct, sys
fd, found = os.open(sys.argv[1], os.O_RDONLY), {}
for block in json.load(sys.stdin):
    parts = struct.iter_unpack('<QQ', os.pread(fd, 4096, block * 4096))
    found[block] = min(sequence if number == block else -1 for number, sequence in parts)
print(json.dumps(found))
`;

interface KeptCopy {
	readonly copy: ShadowCopyJson;
	readonly expected: string;
}

class KilledVolume {
	readonly #t: ExecutionContext;
	readonly #volume: TestVolume;
	readonly #file: string;
	readonly #random = new Random(SEED);
	readonly #kept: KeptCopy[] = [];
	/** By block of the file: the last write that was synced. */
	readonly #synced = new Map<string, number>();

	constructor(t: ExecutionContext) {
		this.#t = t;
		this.#volume = new TestVolume(t, { sizeBytes: 256 << 20 });
		this.#file = join(this.#volume.data, 'file');
	}

	async begin(): Promise<void> {
		await this.#mount();
		await shell('head -c "$2" /dev/urandom > "$1"; sync "$1"', [this.#file, String(FILE_BYTES)]);
	}

	async round(round: number): Promise<void> {
		this.#kept.push({ copy: await this.#volume.create(), expected: await sha256OfFile(this.#file) });
		const pid = await this.#volume.pid();
		for (const name of STARTED) rmSync(this.#pathOf(name), { force: true });
		const writers = Array.from({ length: WRITERS }, (_, i) => this.#write(i, (round + 1) * 2 ** 32));
		await eventually('both writers write', () => STARTED.every((name) => existsSync(this.#pathOf(name))));
		await delay(this.#random.integer(1000)); // when the service is killed, not a condition
		process.kill(pid, 'SIGKILL');
		await eventually('the service has ended', () => !readdirSync('/proc').includes(String(pid)));
		for (const lines of await Promise.all(writers)) {
			for (const line of lines) for (const [block, sequence] of Object.entries(line)) this.#synced.set(block, sequence);
		}
		await this.#mount();
		this.#t.deepEqual(await this.#lostWrites(), [], `round ${round}`);
		const sample = Array.from({ length: COMPARED_EACH_ROUND }, () => this.#random.pick(this.#kept));
		await this.#compare([...new Set([...sample, this.#kept.at(-1)!])], `after round ${round}`);
	}

	async end(): Promise<void> {
		await this.#compare(this.#kept, 'at the end');
		const ids = (await this.#volume.list()).map(({ id }) => id);
		this.#t.deepEqual(
			ids,
			this.#kept.map(({ copy }) => copy.id),
		);
		await noonmarkOk(['unmount', this.#volume.image]);
		await eventually('no mount or loop device is left', () => this.#volume.leftovers().length === 0);
		const check = await run('e2fsck', ['-fn', this.#volume.image]);
		this.#t.is(check.code, 0, check.stdout.toString());
		this.#t.log(`${ROUNDS} rounds, ${this.#synced.size} blocks synced`);
	}

	#mount(): Promise<void> {
		return this.#volume.mount('--max-size', 'unbounded');
	}

	/** Runs until the device fails; returns what was synced, in order. */
	async #write(writer: number, sequence: number): Promise<Record<string, number>[]> {
		const count = FILE_BYTES / 4096 / WRITERS;
		const numbers = [this.#random.integer(2 ** 31), writer * count, count, sequence];
		const started = this.#pathOf(STARTED[writer]!);
		const output = await runOk('python3', ['-c', WRITE, this.#file, started, ...numbers.map(String)]);
		return output
			.toString()
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line) as Record<string, number>);
	}

	#pathOf(name: string): string {
		return join(this.#volume.directory, name);
	}

	async #lostWrites(): Promise<string[]> {
		const input = JSON.stringify([...this.#synced.keys()].map(Number));
		const output = await runOk('python3', ['-c', READ, this.#file], { input });
		return Object.entries(JSON.parse(output.toString()) as Record<string, number>)
			.filter(([block, sequence]) => sequence < this.#synced.get(block)!)
			.map(([block, sequence]) => `block ${block} is of write ${sequence}, ${this.#synced.get(block)} was synced`);
	}

	async #compare(kept: readonly KeptCopy[], when: string): Promise<void> {
		for (const { copy, expected } of kept)
			this.#t.is(await sha256OfFile(join(copy.path, 'file')), expected, `${copy.name} ${when}`);
	}
}

test('nothing is lost to a service that is killed in the midst of first overwrites', async (t) => {
	t.timeout(60_000 + ROUNDS * 30_000);
	t.log(`seed ${SEED}`);
	const volume = new KilledVolume(t);
	await volume.begin();
	for (let round = 0; round < ROUNDS; round++) await volume.round(round);
	await volume.end();
});
