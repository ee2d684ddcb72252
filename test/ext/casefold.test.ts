/** Case folding, beside libext2fs, whose tables are those of the kernel; and look-ups in what e2fsck has hashed with it. */
import { join } from 'node:path';
import test from 'ava';
import { buildImage } from '../../images/matrix.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { casefold } from '../../src/ext/casefold.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, listDirectory } from '../helpers/tree.ts';

/** `ext2fs_load_nls_table(1)` gives the encoding's operations: the first of them folds. */
const LIBEXT2FS = `
import ctypes, sys
library = ctypes.CDLL('libext2fs.so.2')
library.ext2fs_load_nls_table.restype = ctypes.c_void_p
table = library.ext2fs_load_nls_table(1)
operations = ctypes.c_void_p.from_address(table + 8).value
Fold = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
fold_into = Fold(ctypes.c_void_p.from_address(operations).value)
buffer = ctypes.create_string_buffer(4096)
def fold(name):
    length = fold_into(table, name, len(name), buffer, 4096)
    return name if length < 0 else buffer.raw[:length]
`;
const it = programs('python3', 'debugfs') ? test : test.skip;

it('every character of the planes where any is folded', async (t) => {
	const ranges = [
		[1, 0xd7ff],
		[0xe000, 0x1ffff],
		[0x2f800, 0x2fa1f],
		[0xe0000, 0xe0fff],
	] as const;
	const codes = ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
	const script = `${LIBEXT2FS}
for code in map(int, sys.stdin):
    name = chr(code).encode()
    folded = fold(name)
    if folded != name: print('%x %s' % (code, folded.hex()))`;
	const lines = (await runOk('python3', ['-c', script], { input: codes.join('\n') }))
		.toString()
		.split('\n')
		.slice(0, -1);
	const expected = new Map(lines.map((line) => line.split(' ') as [string, string]));
	t.true(expected.size > 14_000);
	const different = codes.filter((code) => {
		const name = Buffer.from(String.fromCodePoint(code));
		return casefold(name)!.toString('hex') !== (expected.get(code.toString(16)) ?? name.toString('hex'));
	});
	// Those that came after Unicode 12.1, which libext2fs leaves as they are, and JavaScript decomposes.
	t.log(
		`newer: ${
			different
				.slice(0, 40)
				.map((code) => code.toString(16))
				.join(' ') || 'none'
		}`,
	);
	t.true(different.every((code) => code === 0x11938 || (code > 0x10500 && !expected.has(code.toString(16)))));
	t.true(different.length < 40);
});

it('names: letters of every script, marks in any order, and what is ignored', async (t) => {
	const random = new Random(20261125);
	t.log(`seed ${random.seed}`);
	const ranges = [
		...[0x41, 0xc0, 0x180, 0x300, 0x320, 0x340, 0x370, 0x400, 0x531, 0x591, 0x5b0, 0x610, 0x64b, 0x93c, 0x10a0, 0x1100],
		...[0x1dc0, 0x1e00, 0x1f00, 0x1f80, 0x200b, 0x2126, 0x24b6, 0x2c00, 0xa640, 0xa722, 0xab70, 0xac00, 0xd780, 0xf900],
		...[0xfb00, 0xfe00, 0xff21, 0x10400, 0x104b0, 0x1d160, 0x1e900, 0x2f800, 0xe0100],
	];
	const names = Array.from({ length: 20_000 }, () => {
		const text = Array.from({ length: 1 + random.integer(8) }, () =>
			String.fromCodePoint(random.pick(ranges) + random.integer(32)),
		);
		return Buffer.from(text.join(''));
	});
	const script = `${LIBEXT2FS}\nfor line in sys.stdin: print(fold(bytes.fromhex(line)).hex())`;
	const input = names.map((name) => `${name.toString('hex')}\n`).join('');
	const expected = (await runOk('python3', ['-c', script], { input })).toString().split('\n').slice(0, -1);
	const found = names.map((name) => casefold(name)?.toString('hex'));
	const wrong = names.flatMap((name, i) =>
		found[i] === expected[i] ? [] : [[name.toString('hex'), found[i], expected[i]]],
	);
	t.deepEqual(wrong.slice(0, 5), []);
});

test('what is no UTF-8 is not folded', (t) => {
	for (const hex of ['41ff', 'c0af', 'eda080', '4180', 'e182', 'f4908080'])
		t.is(casefold(Buffer.from(hex, 'hex')), undefined);
});

const findsAnySpelling = test.macro(async (t, name: string) => {
	const { path } = await buildImage(name, join(temporaryDirectory(t), 'image'));
	const device = FileDevice.open(path, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);
	const many = inodeAt(fs, 'directories/many');
	const names = listDirectory(fs, many).filter(([entry]) => entry.length > 2);
	t.is(names.length, 400);
	for (const [entry, inodeNumber] of names) {
		t.is(fs.lookup(many, Buffer.from(entry.toUpperCase())), inodeNumber);
		t.is(fs.lookup(many, Buffer.from(`${entry.slice(0, 3)}\u200d${entry.slice(3)}`)), inodeNumber);
	}
	t.is(fs.lookup(many, Buffer.from('entry-number-99999')), undefined);
	t.is(fs.lookup(inodeAt(fs, 'times'), Buffer.from('LATEST')), undefined);

	const directories = inodeAt(fs, 'directories');
	const cafe = fs.lookup(directories, Buffer.from('caf\u00e9'));
	t.not(cafe, undefined);
	for (const spelling of ['CAFE\u0301', 'Caf\u00c9']) t.is(fs.lookup(directories, Buffer.from(spelling)), cafe);
	const raw = Buffer.from('not-utf-8-\xff\x80', 'latin1');
	t.not(fs.lookup(directories, raw), undefined);
	t.is(fs.lookup(directories, Buffer.from('NOT-utf-8-\xff\x80', 'latin1')), undefined);
});
const onImages = canMount && programs('mke2fs', 'debugfs', 'e2fsck', 'python3') ? test : test.skip;
onImages('any spelling is found', findsAnySpelling, 'ext4, casefold');
onImages('any spelling is found, with inline data', findsAnySpelling, 'ext4, casefold, inline data');
