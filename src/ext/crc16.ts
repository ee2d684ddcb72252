const POLYNOMIAL = 0xa001;

/** CRC-16 (x^16 + x^15 + x^2 + 1, reflected) after `crc`, as in the kernel's lib/crc16.c: the `uninit_bg` checksum. */
export function crc16(crc: number, bytes: Uint8Array): number {
	let value = crc;
	for (const byte of bytes) {
		value ^= byte;
		for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? POLYNOMIAL : 0);
	}
	return value;
}
