import test from 'ava';
import { crc32c, crc32cOfU32le, crc32cOfZeros } from '../../src/bytes/crc32c.ts';
import { Random } from '../helpers/random.ts';

/** RFC 3720, B.4, whose values are inverted at both ends. */
const rfc3720 = test.macro((t, bytes: Buffer, expected: number) => {
	t.is(~crc32c(0xffffffff, bytes) >>> 0, expected);
});
test('32 bytes of zeros', rfc3720, Buffer.alloc(32), 0x8a9136aa);
test('32 bytes of ones', rfc3720, Buffer.alloc(32, 0xff), 0x62a8ab43);
test('32 incrementing bytes', rfc3720, Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
test('"123456789"', rfc3720, Buffer.from('123456789'), 0xe3069283);

test('a checksum may be continued, with any split, and for numbers and zeros without making bytes of them', (t) => {
	const random = new Random(20261122);
	t.log(`seed ${random.seed}`);
	const bytes = random.bytes(100);
	const whole = crc32c(0xffffffff, bytes);
	for (let split = 0; split <= bytes.length; split++) {
		t.is(crc32c(crc32c(0xffffffff, bytes, 0, split), bytes, split), whole);
	}
	t.is(crc32cOfU32le(whole, bytes.readUInt32LE(8)), crc32c(whole, bytes, 8, 12));
	t.is(crc32cOfZeros(whole, 7), crc32c(whole, Buffer.alloc(7)));
});
