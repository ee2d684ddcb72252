import test from 'ava';
import { bytes, struct, text, u8, u16le, u32be, u64le } from '../../src/bytes/struct.ts';

const sample = struct('sample', 24, {
	kind: u8(0x0),
	count: u16le(0x2),
	sequence: u32be(0x4),
	sizeBytes: u64le(0x8),
	label: text(4)(0x10),
	raw: bytes(4)(0x14),
});

test('encode and decode are inverse, each field at its place', (t) => {
	const values = {
		kind: 1,
		count: 0x0203,
		sequence: 0x04050607,
		sizeBytes: 2 ** 53 - 1,
		label: 'ab',
		raw: Buffer.from('wxyz'),
	};
	const encoded = sample.encode(values);
	t.is(encoded.toString('hex'), '01000302040506 07ffffffffffff1f00616200007778797a'.replace(' ', ''));
	t.deepEqual(sample.decode(encoded), values);
	t.deepEqual(sample.decode(Buffer.concat([Buffer.alloc(5), encoded]), 5), values);
});

test('a 64-bit value past 2^53 is refused instead of rounded', (t) => {
	const encoded = sample.encode({});
	encoded.writeBigUInt64LE(2n ** 53n, 8);
	t.throws(() => sample.decode(encoded), { instanceOf: RangeError });
});

test('a table with overlapping fields, or one past its end, cannot be declared', (t) => {
	t.throws(() => struct('bad', 8, { a: u32be(0), b: u16le(2) }), { message: /overlaps/ });
	t.throws(() => struct('bad', 4, { a: u64le(0) }), { message: /past its 4 bytes/ });
});

test('decoding past the end of the bytes throws', (t) => {
	t.throws(() => sample.decode(Buffer.alloc(23)), { instanceOf: RangeError });
});
