import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { buildImage } from '../../images/matrix.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { damage, makeTarget, readEverything } from './fuzz.ts';

const INPUTS = 60;
const MAX_MS = 2000;

const survives = test.macro(async (t, name: string) => {
	const { path } = await buildImage(name, join(temporaryDirectory(t), 'image'));
	const target = makeTarget(readFileSync(path));
	const random = new Random(20261124);
	t.log(`seed ${random.seed}`);
	for (let input = 0; input < INPUTS; input++) {
		target.image.reset();
		const what = Array.from({ length: 1 + random.integer(3) }, () => damage(target, random)).join('; ');
		const start = process.hrtime.bigint();
		t.notThrows(() => readEverything(target.image), `input ${input}: ${what}`);
		const elapsedMs = Number(process.hrtime.bigint() - start) / 1e6;
		t.true(elapsedMs < MAX_MS, `input ${input}: ${what}: ${elapsedMs} ms`);
	}
});

const it = canMount && programs('mke2fs', 'python3') ? test : test.skip;
it('damaged ext4', survives, 'ext4, 1 KiB');
it('damaged ext4 without checksums', survives, 'ext4, no checksums, 32 bits');
it('damaged ext2', survives, 'ext2, 1 KiB');
it('damaged ext4 with inline data', survives, 'ext4, inline data, 1 KiB');
