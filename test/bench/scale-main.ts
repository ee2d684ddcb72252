/**
 * `make bench-scale`: a volume of 1 TiB (sparse) with a million files, with one shadow copy and with 512: mounting, the
 * first listing, listing the root of all copies, reading, and memory.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk, shell } from '../helpers/run.ts';
import { dropCaches, median } from './compare.ts';
import { createCopy, type MountedVolume, mountVolume, withMount } from './peers.ts';
import { settingsOf } from './settings.ts';
import { fio, seconds } from './works.ts';
import { inWorkshop, type Workshop } from './workshop.ts';

const settings = settingsOf(process.env);
const [files, copies] = settings.quick ? [100_000, 64] : [1_000_000, 512];
const FILES_IN_DIRECTORY = 1000;
const READ_MIB = 64;

const POPULATE = `
import os, sys
root, files, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for d in range(files // each):
    os.mkdir(f'{root}/{d}')
    for f in range(each): os.close(os.open(f'{root}/{d}/file-{f}', os.O_CREAT | os.O_WRONLY, 0o644))
with open(f'{root}/data', 'wb') as out: out.write(os.urandom(${READ_MIB} << 20))
`;

interface Figures {
	readonly mountSeconds: number[];
	readonly firstListingSeconds: number[];
	/** Every copy's file system is opened for it. */
	readonly firstRootListingSeconds: number[];
	readonly rootListingSeconds: number[];
	readonly readIops: number[];
	readonly residentMib: number[];
}

/** Makes copies until there are so many; then mounts and measures, again and again. */
async function measureWith(workshop: Workshop, image: string, count: number): Promise<Figures> {
	let volume = await mountVolume(workshop, image, { withData: false });
	while ((await copyNames(volume)).length < count) await createCopy(volume);
	await volume.unmount();
	const figures: Figures = {
		mountSeconds: [],
		firstListingSeconds: [],
		firstRootListingSeconds: [],
		rootListingSeconds: [],
		readIops: [],
		residentMib: [],
	};
	for (let i = 0; i < settings.repetitions; i++) {
		await dropCaches();
		const startMs = performance.now();
		volume = await mountVolume(workshop, image, { withData: false });
		figures.mountSeconds.push((performance.now() - startMs) / 1000);
		const oldest = join(volume.mountpoint, (await copyNames(volume))[0]!);
		figures.firstListingSeconds.push(await seconds('ls -l "$1" > /dev/null', [oldest]));
		figures.firstRootListingSeconds.push(await seconds('ls -l "$1" > /dev/null', [volume.mountpoint]));
		figures.rootListingSeconds.push(await seconds('ls -l "$1" > /dev/null', [volume.mountpoint]));
		figures.readIops.push(await readRandomly(oldest));
		figures.residentMib.push(residentMib(volume.pid));
		await volume.unmount();
	}
	return figures;
}

const copyNames = async ({ mountpoint }: MountedVolume): Promise<string[]> =>
	(await runOk('ls', [mountpoint])).toString().split('\n').filter(Boolean).sort();

const readRandomly = async (copy: string): Promise<number> => {
	const how = ['--rw=randread', '--bs=4k', '--ioengine=psync', '--direct=1', '--time_based', '--runtime=2'];
	return (await fio('read', [`--filename=${copy}/data`, `--size=${READ_MIB}M`, '--readonly', ...how])).iops;
};

function residentMib(pid: number): number {
	return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
}

await inWorkshop(async (workshop) => {
	const image = workshop.path('disk.img');
	process.stdout.write(
		`1 TiB, ${files} files; medians of ${settings.repetitions}; caches dropped before each mount\n\n`,
	);
	await shell('truncate -s 1T "$1"; mke2fs -q -t ext4 -E lazy_itable_init=1 "$1"', [image], { timeoutMs: 300_000 });
	await withMount(workshop, image, 'rw,noinit_itable', (root) =>
		runOk('python3', ['-c', POPULATE, root, String(files), String(FILES_IN_DIRECTORY)], { timeoutMs: 600_000 }),
	);
	const one = await measureWith(workshop, image, 1);
	const many = await measureWith(workshop, image, copies);
	const head = ['', '1 copy', `${copies} copies`, 'ratio'];
	const rows = (Object.keys(one) as (keyof Figures)[]).map((name) => {
		const [a, b] = [median(one[name]), median(many[name])];
		return [name, a.toPrecision(3), b.toPrecision(3), (b / a).toFixed(2)];
	});
	const table = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
	process.stdout.write(table);
	mkdirSync(settings.output, { recursive: true });
	writeFileSync(join(settings.output, 'scale.md'), table);
	writeFileSync(join(settings.output, 'scale.json'), `${JSON.stringify({ files, copies, one, many }, null, '\t')}\n`);
});
