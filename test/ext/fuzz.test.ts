/** A short run of `make fuzz` with a fixed seed. */
import { join } from 'node:path';
import test from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { buildFuzzImage, FAST_COMMITS } from './fuzz/images.ts';
import { fuzzImage } from './fuzz/runner.ts';

const SEED = 20261125;
const INPUTS = 40;
/** Only a machine that stands still gets there. */
const MAX_MS = 300_000;

const survives = test.macro(async (t, kind: string) => {
	t.timeout(MAX_MS + 60_000);
	t.log(`seed ${SEED}`);
	const image = join(temporaryDirectory(t), 'image');
	await buildFuzzImage(kind, image);
	const { inputs, faults, codes } = await fuzzImage(image, { seed: SEED, inputs: INPUTS, milliseconds: MAX_MS });
	t.deepEqual(faults, []);
	t.is(inputs, INPUTS);
	t.true(codes.size > 3, 'the damage shows');
});

const it = canMount && programs('mke2fs', 'debugfs', 'setfattr', 'python3') ? test : test.skip;
it('damaged ext4', survives, 'ext4, 1 KiB');
it('damaged ext4 without checksums', survives, 'ext4, no checksums, 32 bits');
it('damaged ext2', survives, 'ext2, 1 KiB');
it('damaged ext4 with inline data', survives, 'ext4, inline data, 1 KiB');
it('damaged journal', survives, 'ext4, dirty, data journaled');
it('damaged fast commits', survives, FAST_COMMITS);
