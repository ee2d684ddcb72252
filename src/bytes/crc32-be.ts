const POLYNOMIAL = 0x04c11db7;
const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
	let crc = byte << 24;
	for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? POLYNOMIAL : 0);
	return crc;
});

/** CRC-32 with the most significant bit first, as in the kernel's crc32_be: nothing is inverted. Unsigned. */
export function crc32Be(crc: number, bytes: Uint8Array): number {
	let value = crc | 0;
	for (let i = 0; i < bytes.length; i++) value = (value << 8) ^ TABLE[(value >>> 24) ^ bytes[i]!]!;
	return value >>> 0;
}
