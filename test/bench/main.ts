/**
 * `make bench`: Noonmark beside the kernel (and fuse2fs, where it is installed) on the same image, in one run,
 * interleaved. Prints a Markdown table of medians and ratios. Nothing here is a test: figures depend on the machine.
 *
 * Reading: one shadow copy with nothing changed since, against the kernel's `mount -o loop,ro,noload` of the image; all
 * caches dropped before each measurement. Writing: fio on the mounted live device, against a loop mount of a plain file.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { noonmark, noonmarkJson, type ShadowCopyJson } from '../helpers/volume.ts';

const REPETITIONS = Number(process.env.REPETITIONS ?? 5);
const FILES = 20_000;
const BIG_FILE_MIB = 1024;

interface Row {
	readonly work: string;
	readonly unit: string;
	/** Subject by subject, the last one the peer that the ratios are against. */
	readonly figures: ReadonlyMap<string, readonly number[]>;
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

function printRow({ work, unit, figures }: Row): void {
	const peer = median([...figures.values()].at(-1)!);
	for (const [subject, values] of figures) {
		const [low, high] = [Math.min(...values), Math.max(...values)];
		const cells = [
			work,
			subject,
			`${Math.round(median(values))} ${unit}`,
			`${Math.round(low)}–${Math.round(high)}`,
			(median(values) / peer).toFixed(2),
		];
		process.stdout.write(`| ${cells.join(' | ')} |\n`);
	}
}

async function seconds(action: () => Promise<unknown>): Promise<number> {
	const start = performance.now();
	await action();
	return (performance.now() - start) / 1000;
}

/** Measures `perSecond` of each subject in turns. */
async function compare(
	work: string,
	unit: string,
	amount: number,
	subjects: Record<string, () => Promise<unknown>>,
): Promise<void> {
	const figures = new Map(Object.keys(subjects).map((subject) => [subject, [] as number[]]));
	for (let i = 0; i < REPETITIONS; i++) {
		for (const [subject, action] of Object.entries(subjects)) {
			await shell('sync; echo 3 > /proc/sys/vm/drop_caches');
			figures.get(subject)!.push(amount / (await seconds(action)));
		}
	}
	printRow({ work, unit, figures });
}

async function benchReading(directory: string): Promise<void> {
	const [image, previous, data, kernel, fuse2fs] = ['disk.img', 'previous', 'data', 'kernel', 'fuse2fs'].map((name) =>
		join(directory, name),
	) as [string, string, string, string, string];
	for (const path of [previous, data, kernel, fuse2fs]) mkdirSync(path);
	await shell('truncate -s 3G "$1"; mke2fs -q -t ext4 "$1"', [image]);
	await runOk(process.execPath, [MAIN, 'mount', image, previous, '--data', data]);
	await shell(POPULATE, [data, String(FILES), String(BIG_FILE_MIB)], { timeoutMs: 300_000 });
	const { shadowCopies } = await noonmarkJson<{ shadowCopies: ShadowCopyJson[] }>(['create', image]);
	await noonmarkJson(['unmount', image]);
	await runOk(process.execPath, [MAIN, 'mount', image, previous]);
	const copy = shadowCopies[0]!.path;
	await runOk('mount', ['-o', 'loop,ro,noload', image, kernel]);
	const peers: Record<string, string> = { 'shadow copy': copy };
	if (programs('fuse2fs')) {
		await runOk('fuse2fs', [image, fuse2fs, '-o', 'ro,norecovery']);
		peers.fuse2fs = fuse2fs;
	}
	peers['kernel, loop,ro'] = kernel;
	const each = (action: (root: string) => Promise<unknown>) =>
		Object.fromEntries(Object.entries(peers).map(([name, root]) => [name, () => action(root)]));
	try {
		await compare(
			'find with stat, cold',
			'entries/s',
			FILES + 200,
			each((root) => shell(`find "$1/tree" -printf '%s %T@ %i\\n' > /dev/null`, [root])),
		);
		await compare(
			`cat of ${FILES} files of 4 KiB, cold`,
			'files/s',
			FILES,
			each((root) => shell('find "$1/tree" -type f -print0 | xargs -0 cat > /dev/null', [root])),
		);
		await compare(
			'sequential read of 1 GiB, cold',
			'MiB/s',
			BIG_FILE_MIB,
			each((root) => runOk('dd', [`if=${root}/big`, 'of=/dev/null', 'bs=1M', 'status=none'])),
		);
	} finally {
		for (const path of [kernel, fuse2fs]) await run('umount', [path]);
		await noonmark(['unmount', image]);
	}
}

/** 4 KiB files in 200 directories, and one large file. */
const POPULATE = `
	python3 - "$1" "$2" "$3" <<'EOF'
import os, sys
root, files, mib = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
block = os.urandom(1 << 20)
for d in range(200):
    os.makedirs(f'{root}/tree/{d}')
    for f in range(files // 200):
        with open(f'{root}/tree/{d}/file-{f}', 'wb') as out: out.write(block[f:f + 4096])
with open(f'{root}/big', 'wb') as out:
    for i in range(mib): out.write(block)
EOF
	sync -f "$1"`;

/** IOPS of random 4 KiB writes with an fsync every 32, into a file that is there already. */
async function fioIops(directory: string): Promise<number> {
	const output = await runOk('fio', [
		...['--name=w', `--directory=${directory}`, '--filename=fio.data', '--size=256M', '--overwrite=1'],
		...['--rw=randwrite', '--bs=4k', '--fsync=32', '--ioengine=psync', '--time_based', '--runtime=4', '--randrepeat=0'],
		'--output-format=json',
	]);
	return JSON.parse(output.toString()).jobs[0].write.iops as number;
}

async function benchWriting(directory: string): Promise<void> {
	const [image, plain, previous, data, kernel] = ['w.img', 'plain.img', 'wprevious', 'wdata', 'wkernel'].map((name) =>
		join(directory, name),
	) as [string, string, string, string, string];
	for (const path of [previous, data, kernel]) mkdirSync(path);
	await shell('for i in "$@"; do truncate -s 1G "$i"; mke2fs -q -t ext4 -E lazy_itable_init=0 "$i"; done', [
		image,
		plain,
	]);
	await runOk(process.execPath, [MAIN, 'mount', image, previous, '--data', data, '--max-size', 'unbounded']);
	await runOk('mount', ['-o', 'loop', plain, kernel]);
	const figures = new Map<string, number[]>([
		['live device, no copies', []],
		['live device, a fresh copy', []],
		['loop on the plain file', []],
	]);
	try {
		for (const path of [data, kernel])
			await shell('dd if=/dev/urandom of="$1/fio.data" bs=1M count=256 status=none; sync -f "$1"', [path]);
		for (let i = 0; i < REPETITIONS; i++) {
			figures.get('live device, no copies')!.push(await fioIops(data));
			await noonmarkJson(['create', image]);
			figures.get('live device, a fresh copy')!.push(await fioIops(data));
			await noonmarkJson(['delete', image, '--all']);
			figures.get('loop on the plain file')!.push(await fioIops(kernel));
		}
		printRow({ work: 'random 4 KiB writes, fsync every 32', unit: 'IOPS', figures });
	} finally {
		await run('umount', [kernel]);
		await noonmark(['unmount', image]);
	}
}

const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'main.js');
const directory = mkdtempSync(join(tmpdir(), 'noonmark-bench-'));
try {
	if (!programs('fuse2fs')) process.stdout.write('fuse2fs is not installed and left out (Debian: fuse2fs)\n\n');
	process.stdout.write(
		`${cpus().length} cores (${cpus()[0]!.model}), Node ${process.version}; medians of ${REPETITIONS}, ratios to the last of each group\n\n`,
	);
	process.stdout.write('| work | subject | median | spread | ratio |\n| --- | --- | --- | --- | --- |\n');
	await benchReading(directory);
	await benchWriting(directory);
} finally {
	rmSync(directory, { recursive: true, force: true });
}
