/**
 * What a slow flush costs: random first overwrites of 4 KiB under a fresh copy, without fsync, with and without 5 ms more
 * for every fdatasync. Interleaved, medians of 5. Prints one line of JSON; `ratio` is to be 0.5 at least.
 */
import fs, { mkdtempSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { Random } from '../helpers/random.ts';

const SIZE_BYTES = 512 << 20;
const WRITES = 10_000;
const ROUNDS = 5;
const DELAY_MS = 5;

/** Between the program and its files: a device whose flush takes longer. */
let delayMs = 0;
let flushes = 0;
const { fdatasyncSync } = fs;
const sleeping = new Int32Array(new SharedArrayBuffer(4));
fs.fdatasyncSync = (fd) => {
	fdatasyncSync(fd);
	flushes++;
	if (delayMs > 0) Atomics.wait(sleeping, 0, 0, delayMs);
};
syncBuiltinESMExports();

const directory = mkdtempSync(join(tmpdir(), 'noonmark-bench-'));
try {
	const image = join(directory, 'disk.img');
	const noise = new Random(1).bytes(1 << 20);
	for (let at = 0; at < SIZE_BYTES; at += noise.length) fs.appendFileSync(image, noise);
	const volume = FileDevice.open(image, 'write');
	const options = { volumeSizeBytes: SIZE_BYTES, volumeStamp: '', maximumBytes: null };
	const diffArea = DiffArea.open({ ...options, directory: `${image}.noonmark`, newVolumeId: '00'.repeat(16) });
	const live = new LiveVolume(volume, diffArea, () => performance.now());
	const random = new Random(2);
	const writesPerSecond = () => {
		for (const { epoch } of [...diffArea.copies]) diffArea.delete(epoch);
		diffArea.prepareCommit();
		diffArea.commit(null);
		diffArea.finishCommit();
		const startMs = performance.now();
		for (let i = 0; i < WRITES; i++) {
			live.write(random.integer(SIZE_BYTES / 4096) * 4096, noise.subarray(0, 4096));
			live.drainIfDue();
		}
		live.drain();
		return WRITES / ((performance.now() - startMs) / 1000);
	};
	const rates = { fast: [] as number[], slow: [] as number[] };
	for (let round = 0; round < ROUNDS; round++) {
		delayMs = 0;
		rates.fast.push(writesPerSecond());
		delayMs = DELAY_MS;
		rates.slow.push(writesPerSecond());
	}
	const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
	const [fast, slow] = [median(rates.fast), median(rates.slow)];
	console.log(
		JSON.stringify({
			writesPerSecond: Math.round(fast),
			withDelay: Math.round(slow),
			ratio: Number((slow / fast).toFixed(2)),
			flushesPerRound: Math.round(flushes / (2 * ROUNDS)),
		}),
	);
	volume.close();
} finally {
	rmSync(directory, { recursive: true });
}
