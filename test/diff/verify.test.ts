/** What verifying finds, against the bytes that each copy must have. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { PAGE_BYTES } from '../../src/diff/segment.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { type SegmentFault, touchedChunks, verifySegment } from '../../src/diff/verify.ts';
import { Rig } from './rig.ts';

const CHUNK_BYTES = 16384;

/** Four copies; each chunk has been preserved for several of them, or for none. */
function rigWithCopies(t: ExecutionContext, seed: number): Rig {
	const rig = new Rig(t, { seed, sizeBytes: 800_000 });
	for (let i = 0; i < 4; i++) {
		rig.create();
		for (let j = 0; j < 4; j++) {
			rig.write(rig.random.integer(700_000), rig.random.bytes(1 + rig.random.integer(90_000)));
			rig.liveVolume.flush();
		}
	}
	return rig;
}

const segmentPath = (rig: Rig, epoch: number) => join(`${rig.image}.noonmark`, `epoch-0000000${epoch}.segment`);

/** The faults of all segments, and what copies read of them: `copy:chunk`, ascending. */
function verify(rig: Rig): { faults: SegmentFault[]; touched: string[] } {
	const { directory, volumeId, volumeSizeBytes, chunkSizeBytes } = rig.diffArea.share;
	const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	const reader = new DiffAreaReader(rig.diffArea.share);
	const copies = rig.diffArea.copies.map(({ epoch }) => epoch);
	const faults = rig.diffArea.segments.flatMap(({ epoch, lengthBytes }) =>
		verifySegment(directory, { ...identity, epoch }, lengthBytes, () => {}),
	);
	const touched = faults.flatMap((fault) =>
		[...touchedChunks(fault, reader, copies)].flatMap(([copy, chunks]) => chunks.map((chunk) => `${copy}:${chunk}`)),
	);
	reader.close();
	return { faults, touched: touched.sort() };
}

/** The chunks that are not what they were, by the model. */
function wrongChunks(rig: Rig): string[] {
	const reader = new DiffAreaReader(rig.diffArea.share);
	const volume = FileDevice.open(rig.image, 'read');
	const wrong = [...rig.copies].flatMap(([epoch, content]) => {
		const view = new ShadowView(volume, reader, epoch);
		const chunks = Array.from({ length: Math.ceil(content.length / CHUNK_BYTES) }, (_, chunk) => chunk);
		return chunks.filter((chunk) => !isRight(view, content, chunk)).map((chunk) => `${epoch}:${chunk}`);
	});
	volume.close();
	reader.close();
	return wrong.sort();
}

function isRight(view: ShadowView, content: Buffer, chunk: number): boolean {
	const expected = content.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
	const found = Buffer.alloc(expected.length);
	try {
		view.read(chunk * CHUNK_BYTES, found);
		return found.equals(expected);
	} catch {
		return false;
	}
}

/** Flips one bit each in so many places of a segment's content, but not in headers. */
function damageContent(rig: Rig, epoch: number, count: number): void {
	const path = segmentPath(rig, epoch);
	const bytes = readFileSync(path);
	const pages = bytes.length / PAGE_BYTES;
	for (let i = 0; i < count; ) {
		const page = 2 + rig.random.integer(pages - 2);
		if (bytes.subarray(page * PAGE_BYTES, page * PAGE_BYTES + 8).toString() === 'NMRECORD') continue;
		bytes[page * PAGE_BYTES + rig.random.integer(PAGE_BYTES)]! ^= 1 << rig.random.integer(8);
		i++;
	}
	writeFileSync(path, bytes);
}

test('a sound diff area has no faults', (t) => {
	const rig = rigWithCopies(t, 1);
	t.deepEqual(verify(rig), { faults: [], touched: [] });
});

for (const seed of [2, 3, 4, 5]) {
	test(`flipped bits: exactly the chunks of the copies that are wrong are found (seed ${seed})`, (t) => {
		const rig = rigWithCopies(t, seed);
		damageContent(rig, 1 + (seed % 4), 3);
		damageContent(rig, 3, 1);
		const { faults, touched } = verify(rig);
		t.true(faults.length >= 1);
		t.deepEqual([...new Set(touched)], wrongChunks(rig));
		t.regex(faults[0]!.message, /epoch-0000000\d\.segment: the checksum of chunk \d+ is wrong, at byte \d+$/);
	});
}

test('a damaged header costs its record, and a segment cut short what is missing', (t) => {
	const rig = rigWithCopies(t, 6);
	const path = segmentPath(rig, 2);
	const bytes = readFileSync(path);
	const heads = Array.from({ length: bytes.length / PAGE_BYTES }, (_, i) => i * PAGE_BYTES).filter(
		(at) => bytes.subarray(at, at + 8).toString() === 'NMRECORD',
	);
	bytes[heads[1]! + 20]! ^= 0xff;
	writeFileSync(path, bytes);
	const { faults } = verify(rig);
	t.like(faults, [{ epoch: 2, page: heads[1]! / PAGE_BYTES, endPage: heads[2]! / PAGE_BYTES }]);
	t.is(faults.length, 1);
	t.regex(faults[0]!.message, /header of record 1 is damaged/);
	truncateSync(path, heads[2]! + PAGE_BYTES + 100);
	const touched = new Set(verify(rig).touched);
	for (const wrong of wrongChunks(rig)) t.true(touched.has(wrong), wrong);
});
