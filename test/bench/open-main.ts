/**
 * How long opening a diff area takes, and how much memory: CHUNKS (10 million) preserved chunks of a sparse volume of
 * VOLUME_GIB (256) in 10 epochs, at random places. The segments are sparse, too: only heads of records are written.
 * Each opening runs in a process of its own. Prints one line of JSON for each.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeCatalog } from '../../src/diff/catalog.ts';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { Random } from '../helpers/random.ts';
import { writeSegment } from './preserved-storage.ts';

const CHUNKS = Number(process.env.CHUNKS ?? 10_000_000);
const VOLUME_BYTES = Number(process.env.VOLUME_GIB ?? 256) * 2 ** 30;
const CHUNK_BYTES = 16384;
const EPOCHS = 10;
const VOLUME_ID = '00112233445566778899aabbccddeeff';

const options = (directory: string) => ({
	directory,
	volumeSizeBytes: VOLUME_BYTES,
	volumeStamp: '',
	maximumBytes: null,
	newVolumeId: VOLUME_ID,
});

function build(directory: string): void {
	const random = new Random(1);
	const epochs = Array.from({ length: EPOCHS }, (_, i) => i + 1);
	const identity = {
		volumeId: Buffer.from(VOLUME_ID, 'hex'),
		volumeSizeBytes: VOLUME_BYTES,
		chunkSizeBytes: CHUNK_BYTES,
	};
	const lengths = epochs.map((epoch) =>
		writeSegment(directory, { ...identity, epoch }, CHUNKS / EPOCHS, () => random.integer(VOLUME_BYTES / CHUNK_BYTES)),
	);
	writeCatalog(directory, {
		volumeId: VOLUME_ID,
		volumeSizeBytes: VOLUME_BYTES,
		chunkSizeBytes: CHUNK_BYTES,
		maximumBytes: null,
		nextEpoch: EPOCHS + 1,
		copies: epochs.map((epoch) => ({ epoch, label: null, fault: null })),
		segments: epochs.map((epoch, i) => ({ epoch, durableBytes: lengths[i]! })),
		volumeStamp: null,
		volumeStates: [],
	});
}

function openAndMeasure(directory: string): void {
	const startMs = performance.now();
	const diffArea = DiffArea.open(options(directory));
	const openMs = Math.round(performance.now() - startMs);
	const cpuMs = Math.round((process.cpuUsage().user + process.cpuUsage().system) / 1000);
	const status = readFileSync('/proc/self/status', 'utf8');
	const peakMiB = Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024);
	console.log(JSON.stringify({ chunks: CHUNKS, copies: diffArea.copies.length, openMs, cpuMs, peakMiB }));
}

if (process.argv[2]) {
	openAndMeasure(process.argv[2]);
} else {
	const directory = mkdtempSync(join(tmpdir(), 'noonmark-bench-'));
	try {
		build(directory);
		// The first opening reads all heads and writes the places; the others find them.
		for (let i = 0; i < 4; i++) {
			process.stdout.write(execFileSync(process.execPath, [import.meta.filename, directory], { timeout: 120_000 }));
		}
	} finally {
		rmSync(directory, { recursive: true });
	}
}
