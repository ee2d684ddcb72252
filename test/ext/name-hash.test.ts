import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { HASH_HALF_MD4, HASH_LEGACY, HASH_TEA, nameHasher } from '../../src/ext/name-hash.ts';
import { Random } from '../helpers/random.ts';
import { programs } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const SEED_TEXT = '6e6f6f6e-6d61-726b-8000-000000000002';
const SEED = Buffer.from(SEED_TEXT.replaceAll('-', ''), 'hex');
const NO_SEED = Buffer.alloc(16);

/** Names that debugfs takes on its command line: no blanks or quotes. Folded names may be longer than 255 bytes. */
function randomNames(random: Random): Buffer[] {
	const letters = Buffer.from(
		[...Array(94).keys()].map((i) => 33 + i).filter((code) => !'"\'\\#'.includes(String.fromCharCode(code))),
	);
	return Array.from({ length: 60 }, () => {
		const name = Buffer.alloc(1 + random.integer(random.pick([8, 40, 250, 700])));
		for (let i = 0; i < name.length; i++) {
			name[i] = random.integer(4) === 0 ? 128 + random.integer(128) : letters[random.integer(letters.length)]!;
		}
		name[0] = 0x61;
		return name;
	});
}

const asDebugfs = test.macro(async (t, version: number, isUnsigned: boolean, seed: Buffer) => {
	const random = new Random(version * 10 + (isUnsigned ? 1 : 0) + seed[0]!);
	t.log(`seed ${random.seed}`);
	const names = randomNames(random);
	const seedArgument = seed === SEED ? `-s ${SEED_TEXT} ` : '';
	const commands = join(temporaryDirectory(t), 'commands');
	const lines = names.map((name) => [`dx_hash ${seedArgument}-h ${version + (isUnsigned ? 3 : 0)} `, name, '\n']);
	writeFileSync(commands, Buffer.concat(lines.flat().map((part) => Buffer.from(part as string))));
	const output = (await run('debugfs', ['-f', commands])).stdout.toString('latin1');
	const expected = [...output.matchAll(/is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)/g)].map(([, major, minor]) => ({
		major: Number.parseInt(major!, 16),
		minor: Number.parseInt(minor!, 16),
	}));
	t.is(expected.length, names.length);
	const hash = nameHasher(version, seed, isUnsigned)!;
	t.deepEqual(names.map(hash), expected);
});

const it = programs('debugfs') ? test : test.skip;
for (const isUnsigned of [false, true]) {
	for (const [version, name] of [
		[HASH_LEGACY, 'legacy'],
		[HASH_HALF_MD4, 'half_md4'],
		[HASH_TEA, 'tea'],
	] as const) {
		for (const seed of [SEED, NO_SEED]) {
			it(
				`${name}, ${isUnsigned ? 'unsigned' : 'signed'}, ${seed === SEED ? 'seeded' : 'not seeded'}`,
				asDebugfs,
				version,
				isUnsigned,
				seed,
			);
		}
	}
}

test('SipHash has no function here', (t) => {
	t.is(nameHasher(6, NO_SEED, false), undefined);
});
