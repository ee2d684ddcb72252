/**
 * `make bench-scale`: a volume of 1 TiB (sparse) with a million files, with one shadow copy, with 512, and with 512 that
 * have 10 million preserved chunks: mounting, the first listing, listing the root of all copies, reading, and memory.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileDevice } from '../../src/block/file-device.ts';
import { readCatalog, writeCatalog } from '../../src/diff/catalog.ts';
import { contentRanges } from '../../src/ext/content-ranges.ts';
import { Random } from '../helpers/random.ts';
import { runOk, shell } from '../helpers/run.ts';
import { dropCaches, median } from './compare.ts';
import { createCopy, type MountedVolume, mountVolume, withMount } from './peers.ts';
import { writeSegment } from './preserved-storage.ts';
import { settingsOf } from './settings.ts';
import { fio, seconds } from './works.ts';
import { inWorkshop, type Workshop } from './workshop.ts';

const settings = settingsOf(process.env);
const [files, copies, chunks] = settings.quick ? [100_000, 64, 200_000] : [1_000_000, 512, 10_000_000];
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

/** Of each repetition; seconds are those of a command, and its start is one of 2 ms. */
interface Figures {
	readonly mountSeconds: number[];
	/** `ls -l` of a copy's root, which has a directory for every thousand files, all over the volume. */
	readonly firstListingSeconds: number[];
	/** `ls` of the root: names alone. */
	readonly rootNamesSeconds: number[];
	/** `ls -l` of the root: every copy is looked into for it. */
	readonly firstRootListingSeconds: number[];
	readonly rootListingSeconds: number[];
	readonly readIops: number[];
	readonly residentMib: number[];
}

/** Makes copies until there are so many. */
async function createCopies(workshop: Workshop, image: string, count: number): Promise<void> {
	const volume = await mountVolume(workshop, image, { withData: false });
	while ((await copyNames(volume)).length < count) await createCopy(volume);
	await volume.unmount();
}

/** Lets the copies of a volume have preserved chunks, as many as `chunks`, all over what no copy uses. */
function preserve(image: string): void {
	const directory = `${image}.noonmark`;
	const catalog = readCatalog(directory)!;
	const { volumeId, volumeSizeBytes, chunkSizeBytes, segments } = catalog;
	const used = new Uint8Array(Math.ceil(volumeSizeBytes / chunkSizeBytes));
	const device = FileDevice.open(image, 'read');
	contentRanges(device, false, (start, length) =>
		used.fill(1, Math.floor(start / chunkSizeBytes), Math.ceil((start + length) / chunkSizeBytes)),
	);
	device.close();
	const random = new Random(1);
	const nextChunk = () => {
		for (;;) {
			const chunk = random.integer(used.length);
			if (used[chunk] === 0) return chunk;
		}
	};
	const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	writeCatalog(directory, {
		...catalog,
		segments: segments.map(({ epoch }) => ({
			epoch,
			durableBytes: writeSegment(directory, { ...identity, epoch }, Math.ceil(chunks / segments.length), nextChunk),
		})),
	});
}

/** Mounts and measures, again and again. */
async function measure(workshop: Workshop, image: string): Promise<Figures> {
	const figures: Figures = {
		mountSeconds: [],
		firstListingSeconds: [],
		rootNamesSeconds: [],
		firstRootListingSeconds: [],
		rootListingSeconds: [],
		readIops: [],
		residentMib: [],
	};
	for (let i = 0; i < settings.repetitions; i++) {
		await dropCaches();
		const startMs = performance.now();
		const volume = await mountVolume(workshop, image, { withData: false });
		figures.mountSeconds.push((performance.now() - startMs) / 1000);
		const { mountpoint } = volume;
		await seconds('ls -l / > /dev/null', []); // the program itself comes from the disk
		const oldest = join(mountpoint, (await copyNames(volume))[0]!);
		figures.firstListingSeconds.push(await seconds('ls -l "$1" > /dev/null', [oldest]));
		figures.rootNamesSeconds.push(await seconds('ls "$1" > /dev/null', [mountpoint]));
		figures.firstRootListingSeconds.push(await seconds('ls -l "$1" > /dev/null', [mountpoint]));
		figures.rootListingSeconds.push(await seconds('ls -l "$1" > /dev/null', [mountpoint]));
		await seconds('cat "$1/data" > /dev/null', [oldest]);
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
	await createCopies(workshop, image, 1);
	const one = await measure(workshop, image);
	await createCopies(workshop, image, copies);
	const many = await measure(workshop, image);
	preserve(image);
	// The first opening reads all heads of records and writes the places.
	await (await mountVolume(workshop, image, { withData: false })).unmount();
	const full = await measure(workshop, image);
	const head = ['', '1 copy', `${copies} copies`, `and ${chunks} chunks`, `${copies} : 1`];
	const rows = (Object.keys(one) as (keyof Figures)[]).map((name) => {
		const [a, b, c] = [one, many, full].map((figures) => median(figures[name])) as [number, number, number];
		return [name, a.toPrecision(3), b.toPrecision(3), c.toPrecision(3), (b / a).toFixed(2)];
	});
	const table = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
	process.stdout.write(table);
	mkdirSync(settings.output, { recursive: true });
	writeFileSync(join(settings.output, 'scale.md'), table);
	const json = { files, copies, chunks, one, many, full };
	writeFileSync(join(settings.output, 'scale.json'), `${JSON.stringify(json, null, '\t')}\n`);
});
