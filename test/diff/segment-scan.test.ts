/** What a segment is found to hold when it is opened: up to where its records are sound, and no chunk that is none. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { PlaceList } from '../../src/diff/place-list.ts';
import { encodeRecordHead, encodeSegmentHeader, PAGE_BYTES } from '../../src/diff/segment.ts';
import { scanSegment } from '../../src/diff/segment-scan.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const CHUNK_BYTES = 2 * PAGE_BYTES;
/** Of five chunks; of the last one half is there. */
const IDENTITY = {
	volumeId: Buffer.alloc(16, 7),
	volumeSizeBytes: 4.5 * CHUNK_BYTES,
	chunkSizeBytes: CHUNK_BYTES,
	epoch: 5,
};
const content = (chunkIndex: number) => Buffer.alloc(CHUNK_BYTES, chunkIndex + 1);

/** A segment with a record of these chunks for each list, and the bytes at which its records begin, and where it ends. */
function segmentOf(t: ExecutionContext, ...records: number[][]) {
	const parts = [encodeSegmentHeader(IDENTITY)];
	const begins: number[] = [];
	for (const [sequence, chunkIndexes] of records.entries()) {
		const atBytes = Buffer.concat(parts).length;
		begins.push(atBytes);
		const data = chunkIndexes.map((chunkIndex) => ({ chunkIndex, crc32: crc32(content(chunkIndex)) }));
		const page = Buffer.alloc(PAGE_BYTES);
		encodeRecordHead({ sequence, atBytes, data, zeros: [] }, IDENTITY.epoch, page);
		parts.push(page, ...chunkIndexes.map(content));
	}
	return { path: join(temporaryDirectory(t), 'segment'), bytes: Buffer.concat(parts), begins };
}

function scan(path: string, bytes: Buffer, durableBytes = 0) {
	writeFileSync(path, bytes);
	const { lengthBytes, nextSequence, places } = scanSegment(path, IDENTITY, durableBytes, new PlaceList());
	return { lengthBytes, nextSequence, chunkIndexes: [...places.words].filter((_, i) => i % 2 === 0) };
}

test('the last chunk of a volume, though only a part of it is there, and none behind it', (t) => {
	const { path, bytes } = segmentOf(t, [4, 0]);
	t.deepEqual(scan(path, bytes), { lengthBytes: bytes.length, nextSequence: 1, chunkIndexes: [4, 0] });
	t.throws(() => scan(path, segmentOf(t, [0, 5]).bytes), { code: 'segment-damaged', message: /chunk 5 .* has 5/ });
});

test('a last record with any page of its content torn is dropped, and only what is known to be durable is not looked at', (t) => {
	const { path, bytes, begins } = segmentOf(t, [0, 1], [2, 3]);
	const whole = { lengthBytes: bytes.length, nextSequence: 2, chunkIndexes: [0, 1, 2, 3] };
	t.deepEqual(scan(path, bytes), whole);
	const last = begins[1]!;
	const torn = { lengthBytes: last, nextSequence: 1, chunkIndexes: [0, 1] };
	for (let at = last + PAGE_BYTES; at < bytes.length; at += PAGE_BYTES) {
		const damaged = Buffer.from(bytes).fill(0, at, at + 512);
		t.deepEqual(scan(path, damaged), torn, `byte ${at}`);
		t.deepEqual(scan(path, damaged, bytes.length), whole, 'durable: may have been given back');
		t.deepEqual(scan(path, bytes.subarray(0, at)), torn, `cut at byte ${at}`);
	}
});

test('a record before the last one was durable: its content is not looked at, and without its head the segment is damaged', (t) => {
	const { path, bytes, begins } = segmentOf(t, [0], [1], [2]);
	const [, middle, last] = begins as [number, number, number];
	const emptied = Buffer.from(bytes).fill(0, middle + PAGE_BYTES, last);
	t.deepEqual(scan(path, emptied), { lengthBytes: bytes.length, nextSequence: 3, chunkIndexes: [0, 1, 2] });
	const headless = Buffer.from(bytes).fill(0, middle, middle + 32);
	t.throws(() => scan(path, headless), {
		code: 'segment-damaged',
		message: new RegExp(`record 1 at byte ${middle} is damaged \\(durable up to ${last}\\)`),
	});
});
