import test from 'ava';
import { CachedDevice } from '../../src/block/cached-device.ts';
import type { BlockDevice } from '../../src/block/device.ts';
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
	const cached = new CachedDevice(countingDevice(content), { lineBytes: 1024, cacheBytes: 4096 });
	for (let i = 0; i < 500; i++) {
		const start = random.integer(content.length);
		const into = Buffer.alloc(random.integer(Math.min(3000, content.length - start) + 1));
		cached.read(start, into);
		t.deepEqual(into, content.subarray(start, start + into.length));
	}
	t.throws(() => cached.read(9_999, Buffer.alloc(2)), { instanceOf: RangeError });
});

test('a line is read once while it is kept, and the lines kept are bounded', (t) => {
	const source = countingDevice(Buffer.alloc(16 * 1024));
	const cached = new CachedDevice(source, { lineBytes: 1024, cacheBytes: 8 * 1024 });
	for (let round = 0; round < 3; round++) {
		for (let line = 0; line < 8; line++) cached.view(line * 1024 + 100, 24);
	}
	t.is(source.reads, 8);
	for (let line = 8; line < 16; line++) cached.view(line * 1024, 1024);
	cached.view(0, 1);
	t.is(source.reads, 17);
});

test('a view is in one line, or refused', (t) => {
	const cached = new CachedDevice(countingDevice(Buffer.alloc(2048)), { lineBytes: 1024, cacheBytes: 4096 });
	t.throws(() => cached.view(1000, 30), { instanceOf: RangeError });
	t.is(cached.view(1000, 24).length, 24);
});
