import { readFileSync, writeFileSync } from 'node:fs';
import { shell } from '../helpers/run.ts';

/** Something to be measured. */
export interface Subject {
	readonly name: string;
	/** The directory to work in. */
	readonly root: string;
	/** The processes that serve it, to see what they use; none where the kernel does. */
	readonly pids?: readonly number[];
	/** Before each measurement, untimed. */
	prepare?(): Promise<void>;
	/** What is to go on meanwhile: begins, and returns what ends it. */
	load?(): Promise<() => Promise<void>>;
	/** Bytes that it has written so far: in the diff area, and to the disk that it shows. */
	writtenBytes?(): Promise<{ diffArea: number; disk: number }>;
}

export interface Work {
	readonly name: string;
	/** Of the figure: more is better. */
	readonly unit: string;
	/** Warm: the same was done once before, untimed. */
	readonly cache?: 'cold' | 'warm';
	/** Makes what `measure` needs, untimed, before the caches are dropped. */
	prepare?(root: string): Promise<unknown>;
	measure(root: string): Promise<number>;
}

/** One work done by one subject, repetition by repetition. */
export interface Series {
	readonly subject: string;
	readonly figures: number[];
	/** Why there are no more figures: it failed, or took too long. */
	failure?: string;
	/** Of the processes that serve it. */
	readonly cpuSeconds: number[];
	readonly peakBytes: number[];
	/** Bytes in the diff area for each byte that was written to the disk. */
	readonly diffAreaRatio: number[];
}

export interface Comparison {
	readonly state: string;
	readonly work: string;
	readonly unit: string;
	/** The last one is what the ratios are against. */
	readonly series: readonly Series[];
}

/**
 * Lets every subject do the work in turns, each repetition beginning with another one. `dropCaches`, where it is given, is
 * called before each measurement. A subject that fails at a work is left out of it from then on.
 */
export async function compare(
	state: string,
	work: Work,
	subjects: readonly Subject[],
	{ repetitions, dropCaches }: { repetitions: number; dropCaches?: () => Promise<unknown> },
): Promise<Comparison> {
	const series = subjects.map(
		({ name }): Series => ({ subject: name, figures: [], cpuSeconds: [], peakBytes: [], diffAreaRatio: [] }),
	);
	for (let repetition = 0; repetition < repetitions; repetition++) {
		for (let turn = 0; turn < subjects.length; turn++) {
			const i = (repetition + turn) % subjects.length;
			if (series[i]!.failure !== undefined) continue;
			try {
				await measureOnce(work, subjects[i]!, series[i]!, dropCaches);
			} catch (error) {
				series[i]!.failure = (error as Error).message;
			}
		}
	}
	return { state, work: work.name, unit: work.unit, series };
}

async function measureOnce(work: Work, subject: Subject, series: Series, dropCaches?: () => Promise<unknown>) {
	await subject.prepare?.();
	await work.prepare?.(subject.root);
	await dropCaches?.();
	const endLoad = await subject.load?.();
	try {
		if (work.cache === 'warm') await work.measure(subject.root);
		const meters = subject.pids?.map((pid) => new ProcessMeter(pid));
		const before = await subject.writtenBytes?.();
		series.figures.push(await work.measure(subject.root));
		const after = await subject.writtenBytes?.();
		if (before && after && after.disk > before.disk)
			series.diffAreaRatio.push((after.diffArea - before.diffArea) / (after.disk - before.disk));
		if (!meters) return;
		series.cpuSeconds.push(sum(meters.map((meter) => meter.cpuSeconds())));
		series.peakBytes.push(sum(meters.map((meter) => meter.peakBytes())));
	} finally {
		await endLoad?.();
	}
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b);

/** What a process uses from now on. */
class ProcessMeter {
	readonly #pid: number;
	readonly #startSeconds: number;

	constructor(pid: number) {
		this.#pid = pid;
		writeFileSync(`/proc/${pid}/clear_refs`, '5'); // the peak begins anew: proc(5)
		this.#startSeconds = this.#totalSeconds();
	}

	cpuSeconds(): number {
		return this.#totalSeconds() - this.#startSeconds;
	}

	peakBytes(): number {
		const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8');
		return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
	}

	/** User and system time, in the clock ticks of 1/100 s that proc(5) counts in. */
	#totalSeconds(): number {
		const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8');
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		return (Number(fields[11]) + Number(fields[12])) / 100;
	}
}

/** Clean pages, directory entries and inodes, of the whole machine. Needs root. */
export const dropCaches = () => shell('echo 3 > /proc/sys/vm/drop_caches');

/** NaN where there are none. */
export const median = (values: readonly number[]): number => {
	if (values.length === 0) return Number.NaN;
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};
