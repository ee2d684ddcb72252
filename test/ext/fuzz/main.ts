/** `make fuzz SECONDS=… SEED=…`: damages images of every kind for a while, and reports each input that does not end well. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matrix } from '../../../images/matrix.ts';
import { Random } from '../../helpers/random.ts';
import { buildFuzzImage, FAST_COMMITS } from './images.ts';
import { type FuzzResult, fuzzImage } from './runner.ts';

const MIN_SLICE_MS = 2000;

const seconds = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? 1);
const random = new Random(seed);
/** They are held in memory. */
const IMAGE_MIB_MAX = 1024;
const small = Object.entries(matrix).filter(([, { sizeMiB }]) => sizeMiB <= IMAGE_MIB_MAX);
const kinds = [...small.map(([kind]) => kind), FAST_COMMITS];
const directory = mkdtempSync(join(tmpdir(), 'noonmark-fuzz-'));
const endMs = performance.now() + seconds * 1000;
const results: FuzzResult[] = [];
try {
	for (let round = 0; performance.now() < endMs; round++) {
		// Each kind once before any a second time.
		const image = join(directory, 'image');
		if (round % kinds.length === 0) kinds.sort(() => random.integer(3) - 1);
		const kind = kinds[round % kinds.length]!;
		await buildFuzzImage(kind, image);
		const milliseconds = Math.max(MIN_SLICE_MS, (seconds * 1000) / kinds.length);
		const result = await fuzzImage(image, { seed: seed + round, inputs: Number.MAX_SAFE_INTEGER, milliseconds });
		results.push(result);
		console.log(`${kind}, seed ${seed + round}: ${result.inputs} inputs, ${result.faults.length} faults`);
		for (const fault of result.faults) console.error(`${kind}, seed ${seed + round}: ${fault}`);
	}
} finally {
	rmSync(directory, { recursive: true, force: true });
}
report(results);

function report(all: readonly FuzzResult[]): void {
	const sum = (count: (result: FuzzResult) => number) => all.reduce((total, result) => total + count(result), 0);
	const faults = sum((result) => result.faults.length);
	const most = (value: (result: FuzzResult) => number) => Math.round(Math.max(0, ...all.map(value)));
	console.log(
		`seed ${seed}: ${sum(({ inputs }) => inputs)} inputs of ${all.length} images, ${faults} faults; at most ` +
			`${most(({ maxCpuMs }) => maxCpuMs)} ms and ${most(({ maxPeakBytes }) => maxPeakBytes) >> 20} MiB for one`,
	);
	const codes = new Map<string, number>();
	for (const result of all) for (const [code, count] of result.codes) codes.set(code, (codes.get(code) ?? 0) + count);
	for (const [code, count] of [...codes].sort(([, a], [, b]) => b - a)) console.log(`${count}\t${code}`);
	process.exitCode = faults === 0 ? 0 : 1;
}
