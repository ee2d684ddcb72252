import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { runOk, shell } from '../helpers/run.ts';
import type { Work } from './compare.ts';
import type { Sizes } from './fixture.ts';

/** Whoever takes longer for what takes others a second is left out. */
const WORK_SECONDS_MAX = 120;
const WORK_MS_MAX = (WORK_SECONDS_MAX + 10) * 1000;

/** Seconds that a shell script takes; $1 is the directory to work in. timeout(1) also ends what the script has started. */
export async function seconds(script: string, args: readonly string[]): Promise<number> {
	const start = performance.now();
	const limit = ['--kill-after=5', String(WORK_SECONDS_MAX)];
	await runOk('timeout', [...limit, 'bash', '-euo', 'pipefail', '-c', script, 'bash', ...args], {
		timeoutMs: WORK_MS_MAX,
	});
	return (performance.now() - start) / 1000;
}

/** A script that gets through `amount` units. */
const scripted = (name: string, unit: string, amount: number, script: string): Work => ({
	name,
	unit,
	measure: async (root) => amount / (await seconds(script, [root])),
});

const warm = (work: Work): Work => ({ ...work, name: `${work.name}, warm`, cache: 'warm' });

/** What fio tells of its one group of jobs. */
export async function fio(direction: 'read' | 'write', options: readonly string[]): Promise<{ iops: number }> {
	const output = await runOk(
		'fio',
		['--name=job', '--group_reporting', '--randrepeat=0', '--output-format=json', ...options],
		{ timeoutMs: WORK_MS_MAX },
	);
	const json = output.toString();
	return JSON.parse(json.slice(json.indexOf('{'))).jobs[0][direction];
}

const randomReads = (sizes: Sizes, jobs: number): Work => ({
	name: `random reads of 4 KiB, ${jobs} ${jobs === 1 ? 'job' : 'jobs'}`,
	unit: 'IOPS',
	measure: async (root) => {
		const where = [`--filename=${root}/big`, `--size=${sizes.bigFileMib}M`, `--numjobs=${jobs}`];
		const how = ['--rw=randread', '--bs=4k', '--ioengine=psync', '--time_based', `--runtime=${sizes.fioSeconds}`];
		return (await fio('read', [...where, ...how, '--readonly'])).iops;
	},
});

/** Timed by the program that asks: its own start takes far longer. */
const statInHugeDirectory: Work = {
	name: 'stat of one path in a huge directory',
	unit: 'stats/s',
	measure: async (root) => {
		const script =
			'import os, sys, time; start = time.perf_counter(); os.stat(sys.argv[1]); print(time.perf_counter() - start)';
		return 1 / Number(await runOk('python3', ['-c', script, `${root}/huge/file-77`]));
	},
};

const rsyncToMemory = (files: number): Work => ({
	name: 'rsync -a of a source tree to memory',
	unit: 'files/s',
	measure: async (root) => {
		const target = mkdtempSync('/dev/shm/noonmark-bench-');
		try {
			return files / (await seconds('rsync -a "$1/source/" "$2/"', [root, target]));
		} finally {
			rmSync(target, { recursive: true });
		}
	},
});

/** What a person or a backup does in a copy. `sourceFiles` is how many entries the source tree has. */
export function browseWorks(sizes: Sizes, sourceFiles: number): Work[] {
	const entries = sizes.files + sizes.directories;
	const scripts = [
		scripted(
			'find with stat, 200 directories',
			'entries/s',
			entries,
			`find "$1/tree" -printf '%s %T@ %i\\n' > /dev/null`,
		),
		scripted(
			'find with stat, one huge directory',
			'entries/s',
			sizes.hugeDirectoryFiles,
			`find "$1/huge" -printf '%s %T@ %i\\n' > /dev/null`,
		),
		scripted('ls -lR', 'entries/s', entries, 'ls -lR "$1/tree" > /dev/null'),
		scripted('du', 'entries/s', entries, 'du -s "$1/tree" > /dev/null'),
		scripted(
			'cat of files of 4 KiB',
			'files/s',
			sizes.files,
			'find "$1/tree" -type f -print0 | xargs -0 cat > /dev/null',
		),
		scripted('tar c of a source tree', 'files/s', sourceFiles, 'tar cf - -C "$1/source" . | cat > /dev/null'),
		rsyncToMemory(sourceFiles),
		scripted(
			'grep -r in a source tree',
			'files/s',
			sourceFiles,
			'grep -rc nothing-like-it "$1/source" > /dev/null || :',
		),
		scripted('dd of one large file', 'MiB/s', sizes.bigFileMib, 'dd if="$1/big" of=/dev/null bs=1M status=none'),
		scripted(
			'dd of one large file, O_DIRECT',
			'MiB/s',
			sizes.bigFileMib,
			'dd if="$1/big" of=/dev/null bs=1M iflag=direct status=none',
		),
	];
	return [
		...scripts.flatMap((work) => [work, warm(work)]),
		statInHugeDirectory,
		randomReads(sizes, 1),
		randomReads(sizes, 4),
	];
}

export const FIO_FILE_MIB = 256;

/** Makes the file that `writeSteadily` and the works of the storage bench overwrite. */
export const fillFioFile = (directory: string) =>
	shell(`dd if=/dev/urandom of="$1/fio.data" bs=1M count=${FIO_FILE_MIB} status=none; sync -f "$1"`, [directory]);

/** Lets fio write 2000 times a second, an fsync every 32, until the returned function is called. */
export async function writeSteadily(directory: string): Promise<() => Promise<void>> {
	const child = spawn(
		'fio',
		[
			...['--name=load', `--filename=${directory}/fio.data`, `--size=${FIO_FILE_MIB}M`, '--rw=randwrite', '--bs=4k'],
			...['--fsync=32', '--ioengine=psync', '--rate_iops=2000', '--time_based', '--runtime=600', '--randrepeat=0'],
		],
		{ stdio: 'ignore', timeout: 4 * WORK_MS_MAX },
	);
	const ended = once(child, 'exit');
	return async () => {
		child.kill('SIGINT');
		await ended;
	};
}
