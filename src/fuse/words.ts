/**
 * Structures of the protocol as 32-bit words: for what is written for every file of a tree. FUSE has the byte order of the
 * machine, and so have typed arrays.
 */

/** The same memory; it starts at a multiple of 4 bytes. */
export const wordsOf = (bytes: Uint8Array): Uint32Array =>
	new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);

/** Where each field of a structure starts, in words. */
export function wordIndexes<At extends Readonly<Record<string, number>>>(of: { name: string; at: At }): At {
	const indexes = Object.entries(of.at).map(([key, byte]) => {
		if (byte % 4 !== 0) throw new Error(`${of.name}.${key} starts within a word`);
		return [key, byte / 4];
	});
	return Object.fromEntries(indexes) as At;
}

/** Writes an integer, which may be negative, as 64 bits. */
export function setWords64(words: Uint32Array, index: number, value: number): void {
	words[index] = value; // the lower 32 bits
	words[index + 1] = Math.floor(value / 0x100000000);
}
