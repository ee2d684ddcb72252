/**
 * The hashes of names by which a directory's index (htree) is sorted: fs/ext4/hash.c. They are no cryptography: half a
 * round-reduced MD4, TEA, or a home-made function of 1999, over the name padded with its length.
 */

/** dx_root_info's hash_version. */
export const HASH_LEGACY = 0; // DX_HASH_LEGACY
export const HASH_HALF_MD4 = 1; // DX_HASH_HALF_MD4
export const HASH_TEA = 2; // DX_HASH_TEA

export interface NameHash {
	/** Even: the index keeps a flag in the lowest bit. */
	readonly major: number;
	readonly minor: number;
}

/** A hash function for one directory. */
export type NameHasher = (name: Uint8Array) => NameHash;

const DEFAULT_SEED = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
/** The largest value means "end of the directory" to readdir. */
const END_OF_DIRECTORY = 0xfffffffe;

/**
 * Undefined for a version without a function here (SipHash, whose key is the directory's encryption key). `seed` has
 * 16 bytes; `isUnsigned` says whether bytes over 127 counted as positive where the volume was made.
 */
export function nameHasher(version: number, seed: Uint8Array, isUnsigned: boolean): NameHasher | undefined {
	const start = seedWords(seed);
	const byte = isUnsigned ? (value: number) => value : (value: number) => (value << 24) >> 24;
	const hash = (name: Uint8Array): NameHash => {
		if (version === HASH_LEGACY) return { major: legacy(name, byte), minor: 0 };
		const state = Int32Array.from(start);
		const chunkBytes = version === HASH_HALF_MD4 ? 32 : 16;
		const mix = version === HASH_HALF_MD4 ? mixHalfMd4 : mixTea;
		for (let at = 0; at < name.length; at += chunkBytes) mix(state, padded(name, at, chunkBytes / 4, byte));
		const [first, second, third] = state as unknown as [number, number, number];
		return version === HASH_HALF_MD4 ? { major: second, minor: third >>> 0 } : { major: first, minor: second >>> 0 };
	};
	if (version !== HASH_LEGACY && version !== HASH_HALF_MD4 && version !== HASH_TEA) return undefined;
	return (name) => {
		const { major, minor } = hash(name);
		const even = (major & ~1) >>> 0;
		return { major: even === END_OF_DIRECTORY ? END_OF_DIRECTORY - 2 : even, minor };
	};
}

function seedWords(seed: Uint8Array): number[] {
	const view = new DataView(seed.buffer, seed.byteOffset, 16);
	const words = [0, 4, 8, 12].map((at) => view.getUint32(at, true));
	return words.every((word) => word === 0) ? DEFAULT_SEED : words;
}

/** The part of the name from `at` on as words, most significant byte first, filled up with the length that is left. */
function padded(name: Uint8Array, at: number, wordCount: number, byte: (value: number) => number): Int32Array {
	const left = name.length - at;
	const pad = Math.imul(left & 0xff, 0x01010101); // seen only where less is left than fits in the words
	const words = new Int32Array(wordCount).fill(pad);
	const length = Math.min(left, wordCount * 4);
	let word = pad;
	for (let i = 0; i < length; i++) {
		word = (byte(name[at + i]!) + (word << 8)) | 0;
		words[i >>> 2] = word;
		if ((i & 3) === 3) word = pad;
	}
	return words;
}

function legacy(name: Uint8Array, byte: (value: number) => number): number {
	let previous = 0x37abe8f9;
	let current = 0x12a3fe2d;
	for (const value of name) {
		let next = (previous + (current ^ Math.imul(byte(value), 7152373))) | 0;
		if (next < 0) next = (next - 0x7fffffff) | 0;
		previous = current;
		current = next;
	}
	return current << 1;
}

const MD4_ROUNDS = [
	{
		mix: (x: number, y: number, z: number) => z ^ (x & (y ^ z)),
		add: 0,
		words: [0, 1, 2, 3, 4, 5, 6, 7],
		turns: [3, 7, 11, 19],
	},
	{
		mix: (x: number, y: number, z: number) => (x & y) + ((x ^ y) & z),
		add: 0x5a827999,
		words: [1, 3, 5, 7, 0, 2, 4, 6],
		turns: [3, 5, 9, 13],
	},
	{
		mix: (x: number, y: number, z: number) => x ^ y ^ z,
		add: 0x6ed9eba1,
		words: [3, 7, 2, 6, 1, 5, 0, 4],
		turns: [3, 9, 11, 15],
	},
];

function mixHalfMd4(state: Int32Array, input: Int32Array): void {
	let [a, b, c, d] = state as unknown as [number, number, number, number];
	for (const { mix, add, words, turns } of MD4_ROUNDS) {
		for (let step = 0; step < 8; step++) {
			const sum = (a + mix(b, c, d) + input[words[step]!]! + add) | 0;
			const turn = turns[step & 3]!;
			[a, b, c, d] = [d, (sum << turn) | (sum >>> (32 - turn)), b, c];
		}
	}
	state[0]! += a;
	state[1]! += b;
	state[2]! += c;
	state[3]! += d;
}

function mixTea(state: Int32Array, input: Int32Array): void {
	const [a, b, c, d] = input as unknown as [number, number, number, number];
	let [first, second] = state as unknown as [number, number];
	let sum = 0;
	for (let round = 0; round < 16; round++) {
		sum = (sum + 0x9e3779b9) | 0;
		first = (first + ((((second << 4) + a) | 0) ^ ((second + sum) | 0) ^ (((second >>> 5) + b) | 0))) | 0;
		second = (second + ((((first << 4) + c) | 0) ^ ((first + sum) | 0) ^ (((first >>> 5) + d) | 0))) | 0;
	}
	state[0]! += first;
	state[1]! += second;
}
