/**
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78) as ext4 and jbd2 use it: the caller gives the running value and
 * gets the next one; nothing is inverted on the way in or out. Eight table look-ups a step ("slicing by 8").
 */
const POLYNOMIAL = 0x82f63b78;
const TABLES = makeTables();
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
	Int32Array,
	Int32Array,
	Int32Array,
	Int32Array,
	Int32Array,
	Int32Array,
	Int32Array,
	Int32Array,
];

function makeTables(): Int32Array[] {
	const tables = Array.from({ length: 8 }, () => new Int32Array(256));
	const first = tables[0]!;
	for (let byte = 0; byte < 256; byte++) {
		let crc = byte;
		for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
		first[byte] = crc;
	}
	for (let slice = 1; slice < 8; slice++) {
		for (let byte = 0; byte < 256; byte++) {
			const previous = tables[slice - 1]![byte]!;
			tables[slice]![byte] = first[previous & 0xff]! ^ (previous >>> 8);
		}
	}
	return tables;
}

/** The checksum of `bytes[start, end)` after `crc`; an unsigned 32-bit number. A first value is usually 0xffffffff. */
export function crc32c(crc: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
	let value = crc | 0;
	let at = start;
	for (; at + 8 <= end; at += 8) {
		value ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
		value =
			T7[value & 0xff]! ^
			T6[(value >>> 8) & 0xff]! ^
			T5[(value >>> 16) & 0xff]! ^
			T4[value >>> 24]! ^
			T3[bytes[at + 4]!]! ^
			T2[bytes[at + 5]!]! ^
			T1[bytes[at + 6]!]! ^
			T0[bytes[at + 7]!]!;
	}
	for (; at < end; at++) value = T0[(value ^ bytes[at]!) & 0xff]! ^ (value >>> 8);
	return value >>> 0;
}

/** The checksum of a 32-bit number, stored little-endian, after `crc`. */
export function crc32cOfU32le(crc: number, number: number): number {
	const value = crc ^ number;
	return (T3[value & 0xff]! ^ T2[(value >>> 8) & 0xff]! ^ T1[(value >>> 16) & 0xff]! ^ T0[value >>> 24]!) >>> 0;
}

/** The checksum of `count` zero bytes after `crc`: what stands for a checksum field inside the bytes it covers. */
export function crc32cOfZeros(crc: number, count: number): number {
	let value = crc | 0;
	for (let i = 0; i < count; i++) value = T0[value & 0xff]! ^ (value >>> 8);
	return value >>> 0;
}
