/** The format of a segment: what is not just what was written is not taken for it. */
import { crc32 } from 'node:zlib';
import test from 'ava';
import * as segment from '../../src/diff/segment.ts';

const IDENTITY = { volumeId: Buffer.alloc(16, 7), volumeSizeBytes: 2 ** 40, chunkSizeBytes: 16384, epoch: 5 };
const sealed = () => segment.encodeSegmentHeader(IDENTITY);
const SEAL_AT = 0x3c;
const reseal = (page: Buffer) => page.writeUInt32LE(crc32(page.subarray(0, SEAL_AT)), SEAL_AT);

test('a segment belongs to one volume, one epoch and one division into chunks', (t) => {
	const check = (expected: Partial<segment.SegmentIdentity>) =>
		segment.checkSegmentHeader(sealed(), { ...IDENTITY, ...expected }, 'path');
	t.notThrows(() => check({}));
	const others = [
		{ volumeId: Buffer.alloc(16, 8) },
		{ volumeSizeBytes: 2 ** 40 + 4096 },
		{ chunkSizeBytes: 8192 },
		{ epoch: 6 },
	];
	for (const other of others) t.throws(() => check(other), { code: 'segment-foreign' }, JSON.stringify(other));
});

test('a header with any bit wrong is none', (t) => {
	for (let bit = 0; bit < 8 * (SEAL_AT + 4); bit++) {
		const page = sealed();
		page[bit >>> 3]! ^= 1 << (bit & 7);
		t.false(segment.isSegmentHeader(page), `bit ${bit}`);
		t.throws(() => segment.checkSegmentHeader(page, IDENTITY, 'path'));
	}
	const [newer, other] = [sealed(), sealed()];
	newer.writeUInt32LE(2, 8);
	other.write('NMOTHERS');
	for (const page of [newer, other]) reseal(page);
	t.throws(() => segment.checkSegmentHeader(newer, IDENTITY, 'path'), { code: 'segment-version' });
	t.true(segment.isSegmentHeader(newer), 'also one of a later version');
	t.false(segment.isSegmentHeader(other));
});

const entriesFrom = (first: number, count: number) =>
	Array.from({ length: count }, (_, i) => ({ chunkIndex: first + i, crc32: 0xfffffff0 + (i % 16) }));
const zerosFrom = (first: number, count: number) => entriesFrom(first, count).map((entry) => ({ ...entry, crc32: 0 }));

test('the head of a record as full as it can be is read back, at its place and in its epoch alone', (t) => {
	const half = Math.floor(segment.RECORD_CHUNKS_MAX / 2);
	const data = entriesFrom(2 ** 32 - 600, half);
	const zeros = zerosFrom(70, segment.RECORD_CHUNKS_MAX - half);
	const head = { sequence: 3, atBytes: 2 ** 33, data, zeros };
	const page = Buffer.alloc(segment.PAGE_BYTES);
	segment.encodeRecordHead(head, 5, page);
	t.deepEqual(segment.decodeRecordHead(page, 5, 2 ** 33), head);
	t.is(segment.decodeRecordHead(page, 6, 2 ** 33), undefined);
	t.is(segment.decodeRecordHead(page, 5, 2 ** 33 + segment.PAGE_BYTES), undefined);
	const places = [...segment.placesOf(head, 100, 4)];
	t.deepEqual(places[half - 1], { chunkIndex: data.at(-1)!.chunkIndex, page: 101 + 4 * (half - 1), isZero: false });
	t.deepEqual(places[half], { chunkIndex: 70, page: 100, isZero: true });
	for (let byte = 0; byte < page.length; byte++) {
		page[byte]! ^= 1;
		t.is(segment.decodeRecordHead(page, 5, 2 ** 33), undefined, `byte ${byte}`);
		page[byte]! ^= 1;
	}
});

test('a head that says it has more entries than fit is none', (t) => {
	const page = Buffer.alloc(segment.PAGE_BYTES);
	segment.encodeRecordHead({ sequence: 0, atBytes: 4096, data: [], zeros: [] }, 5, page);
	for (const [dataCount, isHead] of [
		[segment.RECORD_CHUNKS_MAX, true],
		[segment.RECORD_CHUNKS_MAX + 1, false],
	] as const) {
		page.writeUInt32LE(dataCount, 0x18);
		page.writeUInt32LE(0, 0x20);
		page.writeUInt32LE(crc32(page), 0x20);
		t.is(segment.isRecordHead(page, 5, 4096), isHead);
	}
});
