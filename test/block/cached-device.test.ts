import test from 'ava';
import { CachedDevice } from '../../src/block/cached-device.ts';
import type { BlockDevice } from '../../src/block/device.ts';
import { LineCache } from '../../src/block/line-cache.ts';
import { Random } from '../helpers/random.ts';

function countingDevice(content: Buffer): BlockDevice & { reads: number } {
	return {
		sizeBytes: content.length,
		reads: 0,
		read(byteOffset, into) {
			this.reads++;
			content.copy(into, 0, byteOffset, byteOffset + into.length);
		},
		close: () => {},
	};
}

test('reads of any place and length are those of the source, at the odd end too', (t) => {
	const random = new Random(7);
	t.log(`seed ${random.seed}`);
	const content = random.bytes(10_000);
	const cached = new CachedDevice(countingDevice(content), { lineBytes: 1024, cache: new LineCache(4096) });
	for (let i = 0; i < 500; i++) {
		const start = random.integer(content.length);
		const into = Buffer.alloc(random.integer(Math.min(3000, content.length - start) + 1));
		cached.read(start, into);
		t.deepEqual(into, content.subarray(start, start + into.length));
	}
	t.throws(() => cached.read(9_999, Buffer.alloc(2)), { instanceOf: RangeError });
});

test('a line is read once while it is kept, and the lines kept are bounded', (t) => {
	const lineBytes = 1 << 16;
	const source = countingDevice(Buffer.alloc(16 * lineBytes));
	const cached = new CachedDevice(source, { lineBytes, cache: new LineCache(8 * lineBytes) });
	for (let round = 0; round < 3; round++) {
		for (let line = 0; line < 8; line++) cached.view(line * lineBytes + 100, 24);
	}
	t.is(source.reads, 8);
	for (let line = 8; line < 16; line++) cached.view(line * lineBytes, 1024);
	cached.view(0, 1);
	t.is(source.reads, 17);
});

test('devices that share a cache share its bound, never their lines, not even with one that was closed', (t) => {
	const lineBytes = 1 << 16;
	const cache = new LineCache(8 * lineBytes);
	const open = (fill: number) => {
		const source = countingDevice(Buffer.alloc(8 * lineBytes, fill));
		return { source, cached: new CachedDevice(source, { lineBytes, cache }) };
	};
	const readAll = ({ cached }: ReturnType<typeof open>) =>
		Array.from({ length: 8 }, (_, line) => cached.view(line * lineBytes, 1)[0]);
	const [first, second] = [open(1), open(2)];
	t.deepEqual(readAll(first), Array(8).fill(1));
	t.deepEqual(readAll(second), Array(8).fill(2));
	t.deepEqual(readAll(first), Array(8).fill(1));
	t.is(first.source.reads, 16);
	first.cached.close();
	second.cached.view(0, 1);
	t.deepEqual(readAll(open(3)), Array(8).fill(3));
});

test('a view is in one line, or refused', (t) => {
	const cached = new CachedDevice(countingDevice(Buffer.alloc(2048)), { lineBytes: 1024, cache: new LineCache(4096) });
	t.throws(() => cached.view(1000, 30), { instanceOf: RangeError });
	t.is(cached.view(1000, 24).length, 24);
});

test('announced places are read in few pieces, bytes and bounds unchanged', (t) => {
	const random = new Random(11);
	t.log(`seed ${random.seed}`);
	const windowBytes = 1 << 17;
	const content = random.bytes(5 * windowBytes + 3000);
	const announced: [number, number][] = [];
	const source = {
		...countingDevice(content),
		announceRead: (byteOffset: number, lengthBytes: number) => announced.push([byteOffset, lengthBytes]),
	};
	const cached = new CachedDevice(source, { lineBytes: 1 << 14, cache: new LineCache(1 << 20) });
	const places = Array.from({ length: 500 }, () => random.integer(content.length >> 8) << 8);
	cached.announce(places);
	t.deepEqual(
		announced.sort(([a], [b]) => a - b),
		[0, 1, 2, 3, 4, 5].map((window) => [window * windowBytes, window < 5 ? windowBytes : 1 << 14]),
	);
	for (const start of places) t.deepEqual(cached.view(start, 256), content.subarray(start, start + 256));
	t.is(source.reads, 6);
	cached.announce(places);
	t.is(announced.length, 6);
	t.throws(() => cached.view(content.length - 100, 256), { instanceOf: RangeError });
});

test('of places that lie far apart only the lines are announced and read', (t) => {
	const content = new Random(13).bytes(1 << 20);
	const calls: string[] = [];
	const source: BlockDevice = {
		sizeBytes: content.length,
		read(byteOffset, into) {
			calls.push(`read ${byteOffset} ${into.length}`);
			content.copy(into, 0, byteOffset, byteOffset + into.length);
		},
		announceRead: (byteOffset, lengthBytes) => calls.push(`announce ${byteOffset} ${lengthBytes}`),
		close: () => {},
	};
	const cached = new CachedDevice(source, { lineBytes: 1 << 14, cache: new LineCache(1 << 20) });
	const places = [300_000, 5000, 300_256];
	cached.announce(places);
	for (const start of places) t.deepEqual(cached.view(start, 16), content.subarray(start, start + 16));
	t.deepEqual(calls, ['announce 294912 16384', 'announce 0 16384', 'read 294912 16384', 'read 0 16384']);
});

test('what is damaged around an announced place does not touch it', (t) => {
	const content = new Random(12).bytes(1 << 18);
	const damagedAt = 100_000;
	const cached = new CachedDevice(
		{
			sizeBytes: content.length,
			read(byteOffset, into) {
				if (byteOffset <= damagedAt && damagedAt < byteOffset + into.length) throw new Error('damaged');
				content.copy(into, 0, byteOffset, byteOffset + into.length);
			},
			close: () => {},
		},
		{ lineBytes: 1 << 14, cache: new LineCache(1 << 20) },
	);
	cached.announce([512, damagedAt - 100]);
	t.deepEqual(cached.view(512, 256), content.subarray(512, 768));
	t.throws(() => cached.view(damagedAt - 100, 256), { message: 'damaged' });
});
