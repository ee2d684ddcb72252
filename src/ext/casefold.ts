import { CASE_FOLDING, IGNORABLE } from './casefold-table.ts';

/** s_encoding: the one encoding that there is, UTF-8 with the tables of Unicode 12.1. */
export const ENCODING_UTF8_12_1 = 1; // EXT4_ENC_UTF8_12_1

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const folding = readTable(CASE_FOLDING);
const ignorable = new RegExp(`[${IGNORABLE.trim().replaceAll(/\w+/g, '\\u{$&}').replaceAll(/\s/g, '')}]`, 'gu');

/**
 * The form in which directories with folded names compare and hash them: decomposed, case folded, what can be ignored
 * left out (fs/unicode/utf8-norm.c, "nfdicf"). Undefined for what is not sound UTF-8: such a name is only like itself.
 *
 * Decomposition is JavaScript's, of a later Unicode: characters that came after 12.1 and are decomposed or are
 * combining marks fold differently here than in the kernel, for which they are not yet there. The kernel also folds some
 * names with stray continuation bytes.
 */
export function casefold(name: Uint8Array): Buffer | undefined {
	const ascii = asciiLowerCase(name);
	if (ascii) return ascii;
	let text: string;
	try {
		text = utf8.decode(name);
	} catch {
		return undefined;
	}
	let folded = '';
	// One by one: the parts of a character fold before what follows it can come in between.
	for (const character of text) folded += foldCharacter(character);
	// What is ignored keeps marks on its two sides apart when they are put in order, so it goes last.
	return Buffer.from(folded.normalize('NFD').replaceAll(ignorable, ''));
}

function foldCharacter(character: string): string {
	let folded = '';
	for (const part of character.normalize('NFD')) folded += folding.get(part.codePointAt(0)!) ?? part;
	return folded;
}

function asciiLowerCase(name: Uint8Array): Buffer | undefined {
	const lower = Buffer.from(name);
	for (let i = 0; i < lower.length; i++) {
		const byte = lower[i]!;
		if (byte >= 0x80) return undefined;
		if (byte >= 0x41 && byte <= 0x5a) lower[i] = byte + 0x20;
	}
	return lower;
}

function readTable(table: string): ReadonlyMap<number, string> {
	const hex = (digits: string) => Number.parseInt(digits, 16);
	const map = new Map<number, string>();
	for (const entry of table.trim().split(/\s+/)) {
		const [, first, last, step, sign, value] = /^(\w+)(?:-(\w+))?(\/2)?([=+~])([\w,]+)$/.exec(entry)!;
		for (let character = hex(first!); character <= hex(last ?? first!); character += step ? 2 : 1) {
			const shift = sign === '+' ? hex(value!) : -hex(value!);
			const to = sign === '=' ? value!.split(',').map(hex) : [character + shift];
			map.set(character, String.fromCodePoint(...to));
		}
	}
	return map;
}
