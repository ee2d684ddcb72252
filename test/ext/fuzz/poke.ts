import type { Random } from '../../helpers/random.ts';

const INTERESTING = [
	...[0, 1, 2, 3, 4, 5, 8, 0x0c, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x8001, 0xffff, 0xf30a, 0x7fffffff, 0x80000000],
	...[0xfffffffe, 0xffffffff],
];

/** Writes a value of 1, 2 or 4 bytes, little-endian unless `order` says otherwise. */
export function poke(bytes: Buffer, at: number, size: number, random: Random, order: 'le' | 'be' = 'le'): void {
	if (at + size > bytes.length) return;
	const value = random.integer(3) === 0 ? random.integer(2 ** 32) : random.pick(INTERESTING);
	const fitting = value % 2 ** (8 * size);
	if (order === 'le') bytes.writeUIntLE(fitting, at, size);
	else bytes.writeUIntBE(fitting, at, size);
}

export type FieldTable = Record<string, { readonly at: number; readonly size: number }>;

/** Changes one field of a structure at the start of `bytes`; returns its name. */
export function pokeField(bytes: Buffer, fields: FieldTable, random: Random, order: 'le' | 'be' = 'le'): string {
	const [name, field] = random.pick(Object.entries(fields).filter(([, { at }]) => at < bytes.length));
	poke(bytes, field.at, Math.min(field.size, 4), random, order);
	return name;
}

/** Changes up to eight bytes; returns where. */
export function flipBytes(bytes: Buffer, random: Random): string {
	const places = Array.from({ length: 1 + random.integer(8) }, () => random.integer(bytes.length));
	for (const at of places)
		bytes[at] = random.integer(2) === 0 ? random.integer(256) : bytes[at]! ^ (1 << random.integer(8));
	return places.join(',');
}
