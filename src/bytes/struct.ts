/**
 * Binary structures declared as tables: one row a field, with its reader at a hexadecimal offset. The table is checked
 * when it is declared (no overlap, nothing past the end); decode, encode and the TypeScript type follow from it.
 * Endianness is in each field's word, never a mode.
 *
 *     const tag = struct('journal block tag', 8, { blockNumber: u32be(0x0), flags: u32be(0x4) });
 *     tag.decode(bytes, 24).blockNumber
 */
export interface Field<T> {
	readonly at: number;
	readonly size: number;
	read(bytes: Buffer, position: number): T;
	write(bytes: Buffer, position: number, value: T): void;
}

type Fields = Record<string, Field<unknown>>;
export type Decoded<F extends Fields> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export interface Struct<F extends Fields> {
	readonly name: string;
	readonly sizeBytes: number;
	readonly fields: F;
	/** Where each field starts: for code too hot for `decode`. */
	readonly at: { readonly [K in keyof F]: number };
	/** Reads the structure that starts at `position`; throws RangeError where the bytes end before it does. */
	decode(bytes: Buffer, position?: number): Decoded<F>;
	/** Writes the fields that are given; the other bytes stay as they are. */
	encode(values: Partial<Decoded<F>>, bytes?: Buffer, position?: number): Buffer;
}

export function struct<F extends Fields>(name: string, sizeBytes: number, fields: F): Struct<F> {
	const entries = Object.entries(fields);
	checkLayout(name, sizeBytes, entries);
	return {
		name,
		sizeBytes,
		fields,
		at: Object.fromEntries(entries.map(([key, field]) => [key, field.at])) as { [K in keyof F]: number },
		decode(bytes, position = 0) {
			if (position < 0 || position + sizeBytes > bytes.length) {
				throw new RangeError(`${name}: ${sizeBytes} bytes at ${position}, but only ${bytes.length} are there`);
			}
			const values: Record<string, unknown> = {};
			for (const [key, field] of entries) values[key] = field.read(bytes, position + field.at);
			return values as Decoded<F>;
		},
		encode(values, bytes = Buffer.alloc(sizeBytes), position = 0) {
			for (const [key, field] of entries) {
				const value = values[key];
				if (value !== undefined) field.write(bytes, position + field.at, value);
			}
			return bytes;
		},
	};
}

function checkLayout(name: string, sizeBytes: number, entries: [string, Field<unknown>][]): void {
	let end = 0;
	for (const [key, field] of [...entries].sort(([, a], [, b]) => a.at - b.at)) {
		if (field.at < end) throw new Error(`${name}.${key} overlaps the field before it`);
		end = field.at + field.size;
	}
	if (end > sizeBytes) throw new Error(`${name} ends at ${end}, past its ${sizeBytes} bytes`);
}

const number =
	(
		size: number,
		read: (bytes: Buffer, position: number) => number,
		write: (bytes: Buffer, position: number, value: number) => void,
	) =>
	(at: number): Field<number> => ({ at, size, read, write });

export const u8 = number(
	1,
	(b, p) => b.readUInt8(p),
	(b, p, v) => b.writeUInt8(v, p),
);
export const u16le = number(
	2,
	(b, p) => b.readUInt16LE(p),
	(b, p, v) => b.writeUInt16LE(v, p),
);
export const u16be = number(
	2,
	(b, p) => b.readUInt16BE(p),
	(b, p, v) => b.writeUInt16BE(v, p),
);
export const u32le = number(
	4,
	(b, p) => b.readUInt32LE(p),
	(b, p, v) => b.writeUInt32LE(v, p),
);
export const u32be = number(
	4,
	(b, p) => b.readUInt32BE(p),
	(b, p, v) => b.writeUInt32BE(v, p),
);
export const i32le = number(
	4,
	(b, p) => b.readInt32LE(p),
	(b, p, v) => b.writeInt32LE(v, p),
);

/** A 64-bit count or byte offset as a number. Values past 2^53 throw: they are no size that this program can hold. */
export const u64le = number(
	8,
	(b, p) => exact(b.readUInt32LE(p), b.readUInt32LE(p + 4)),
	(b, p, v) => {
		b.writeUInt32LE(v >>> 0, p);
		b.writeUInt32LE(highHalf(v), p + 4);
	},
);

/** A signed 64-bit value (seconds before 1970) as a number; one outside ±2^53 throws. */
export const i64le = number(
	8,
	(b, p) => exact(b.readUInt32LE(p), b.readInt32LE(p + 4)),
	(b, p, v) => {
		b.writeUInt32LE(v >>> 0, p);
		b.writeInt32LE(highHalf(v), p + 4);
	},
);

function exact(low: number, high: number): number {
	if (high >= 0x200000 || high < -0x200000)
		throw new RangeError(`64-bit value 0x${high.toString(16)}${low.toString(16).padStart(8, '0')} is past 2^53`);
	return high * 0x100000000 + low;
}

/** The upper 32 bits of an integer; with `value >>> 0` for the lower, 64 bits are written without a BigInt. */
function highHalf(value: number): number {
	return Math.floor(value / 0x100000000);
}

/** Bytes as they lie: a view into the buffer that was decoded, not a copy. */
export const bytes =
	(size: number) =>
	(at: number): Field<Uint8Array> => ({
		at,
		size,
		read: (b, p) => b.subarray(p, p + size),
		write: (b, p, v) => b.set(v.subarray(0, size), p),
	});

/** ASCII text, padded with NUL. */
export const text =
	(size: number) =>
	(at: number): Field<string> => ({
		at,
		size,
		read: (b, p) => b.toString('latin1', p, p + size).replace(/\0.*$/s, ''),
		write: (b, p, v) => {
			b.fill(0, p, p + size);
			b.write(v, p, size, 'latin1');
		},
	});
