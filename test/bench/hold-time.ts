/**
 * How long the live thread holds writes to make a copy: held writes are drained and the new epoch begins, while a child
 * process is running, as fsfreeze is. Sparse volumes of 1 GiB and 1 TiB, the first copy and the 512th. Prints one line of
 * JSON for each, medians of COUNT (9).
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';

const COUNT = Number(process.env.COUNT ?? 9);
const HELD_WRITES = 100;

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

function measure(sizeBytes: number, copies: number): void {
	const directory = mkdtempSync(join(tmpdir(), 'noonmark-bench-'));
	try {
		const image = join(directory, 'disk.img');
		writeFileSync(image, '');
		truncateSync(image, sizeBytes);
		const volume = FileDevice.open(image, 'write');
		const options = { volumeSizeBytes: sizeBytes, volumeStamp: '', maximumBytes: null };
		const diffArea = DiffArea.open({ ...options, directory: `${image}.noonmark`, newVolumeId: '00'.repeat(16) });
		const live = new LiveVolume(volume, diffArea, () => performance.now());
		const commit = () => {
			diffArea.prepareCommit();
			for (let i = 0; i < HELD_WRITES; i++) live.write(i * 50_000, Buffer.alloc(4096, i));
			execFileSync('true', { timeout: 10_000 });
			const startMs = performance.now();
			live.drain();
			const drainedMs = performance.now();
			diffArea.commit(null);
			const endMs = performance.now();
			diffArea.finishCommit();
			return { drainMs: drainedMs - startMs, commitMs: endMs - drainedMs };
		};
		while (diffArea.copies.length < copies - 1) commit();
		const times = Array.from({ length: COUNT }, () => {
			const time = commit();
			diffArea.delete(diffArea.copies.at(-1)!.epoch);
			return time;
		});
		const drainMs = median(times.map((time) => time.drainMs)).toFixed(2);
		const commitMs = median(times.map((time) => time.commitMs)).toFixed(2);
		console.log(JSON.stringify({ sizeBytes, copies, drainMs, commitMs }));
		diffArea.close(null);
		volume.close();
	} finally {
		rmSync(directory, { recursive: true });
	}
}

for (const sizeBytes of [2 ** 30, 2 ** 40]) for (const copies of [1, 512]) measure(sizeBytes, copies);
