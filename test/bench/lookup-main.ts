/**
 * What a read costs in the oldest and in the newest of COPIES (512) copies, where every chunk was preserved for every
 * copy: 4 KiB at random places through a ShadowView. Prints one line of JSON.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { Random } from '../helpers/random.ts';

const COPIES = Number(process.env.COPIES ?? 512);
const VOLUME_BYTES = 16 * 4096;
const READ_BYTES = 4096;
const READS = 50_000;

function build(image: string): DiffArea {
	// A chunk of zeros would be kept without its content, and read faster.
	writeFileSync(image, Buffer.alloc(VOLUME_BYTES, 255));
	const diffArea = DiffArea.open({
		directory: `${image}.noonmark`,
		volumeSizeBytes: VOLUME_BYTES,
		volumeStamp: '',
		maximumBytes: null,
		newVolumeId: '00112233445566778899aabbccddeeff',
	});
	const volume = FileDevice.open(image, 'write');
	const live = new LiveVolume(volume, diffArea, () => 0);
	for (let i = 1; i <= COPIES; i++) {
		diffArea.prepareCommit();
		diffArea.commit(null);
		diffArea.finishCommit();
		live.write(0, Buffer.alloc(VOLUME_BYTES, i % 255 || 1));
		live.drain();
	}
	volume.close();
	return diffArea;
}

/** Microseconds for one read. */
function readUs(view: ShadowView): number {
	const random = new Random(1);
	const into = Buffer.alloc(READ_BYTES);
	const startMs = performance.now();
	for (let i = 0; i < READS; i++) view.read(random.integer(VOLUME_BYTES / READ_BYTES) * READ_BYTES, into);
	return ((performance.now() - startMs) * 1000) / READS;
}

const directory = mkdtempSync(join(tmpdir(), 'noonmark-bench-'));
try {
	const image = join(directory, 'disk.img');
	const diffArea = build(image);
	const volume = FileDevice.open(image, 'read');
	const reader = new DiffAreaReader(diffArea.share);
	const [oldest, newest] = [diffArea.copies[0]!, diffArea.copies.at(-1)!].map(
		({ epoch }) => new ShadowView(volume, reader, epoch),
	);
	const rounds = [1, 2, 3, 4, 5].map(() => ({ oldestUs: readUs(oldest!), newestUs: readUs(newest!) }));
	const best = (key: 'oldestUs' | 'newestUs') => Math.min(...rounds.map((round) => round[key]));
	const [oldestUs, newestUs] = [best('oldestUs'), best('newestUs')];
	const rounded = (value: number) => Number(value.toFixed(2));
	const figures = { oldestUs: rounded(oldestUs), newestUs: rounded(newestUs), ratio: rounded(oldestUs / newestUs) };
	console.log(JSON.stringify({ copies: diffArea.copies.length, ...figures }));
	reader.close();
	volume.close();
	diffArea.close(null);
} finally {
	rmSync(directory, { recursive: true });
}
