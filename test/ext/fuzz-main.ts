/** `make fuzz SECONDS=… SEED=…`: damages images for a while, and reports each input that does not end as it must. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildImage } from '../../images/matrix.ts';
import { Random } from '../helpers/random.ts';
import { damage, makeTarget, readEverything, type Target } from './fuzz.ts';

const IMAGES = [
	'ext4, 1 KiB',
	'ext4, no checksums, 32 bits',
	'ext2, 1 KiB',
	'ext4, inline data, 1 KiB',
	'ext4, ea_inode',
	'ext4, bigalloc, 1 KiB',
	'ext4, meta_bg, 32 bits',
];
const MAX_MS = 2000;

const seconds = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? 1);
const directory = mkdtempSync(join(tmpdir(), 'noonmark-fuzz-'));
try {
	const targets: [string, Target][] = [];
	for (const name of IMAGES) {
		const { path } = await buildImage(name, join(directory, 'image'));
		targets.push([name, makeTarget(readFileSync(path))]);
		console.log(`built ${name}`);
	}
	process.exitCode = fuzz(targets) === 0 ? 0 : 1;
} finally {
	rmSync(directory, { recursive: true, force: true });
}

function fuzz(targets: [string, Target][]): number {
	const random = new Random(seed);
	const codes = new Map<string, number>();
	const end = performance.now() + seconds * 1000;
	let inputs = 0;
	let faults = 0;
	for (; performance.now() < end; inputs++) {
		const [name, target] = random.pick(targets);
		target.image.reset();
		const what = Array.from({ length: 1 + random.integer(3) }, () => damage(target, random)).join('; ');
		const start = performance.now();
		try {
			for (const code of readEverything(target.image)) codes.set(code, (codes.get(code) ?? 0) + 1);
		} catch (error) {
			faults++;
			console.error(`input ${inputs} (${name}): ${what}`, error);
		}
		const elapsedMs = performance.now() - start;
		if (elapsedMs > MAX_MS) {
			faults++;
			console.error(`input ${inputs} (${name}): ${what}: took ${Math.round(elapsedMs)} ms`);
		}
	}
	console.log(
		`seed ${seed}: ${inputs} inputs, ${faults} faults, ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`,
	);
	for (const [code, count] of [...codes].sort(([, a], [, b]) => b - a)) console.log(`${count}\t${code}`);
	return faults;
}
