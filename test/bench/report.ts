import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { ratioChart } from './chart.ts';
import { type Comparison, median, type Series } from './compare.ts';

/** On what the figures were taken. */
export interface Machine {
	readonly cpu: string;
	readonly cores: number;
	readonly kernel: string;
	readonly node: string;
}

const thisMachine = (): Machine => ({
	cpu: cpus()[0]!.model,
	cores: cpus().length,
	kernel: release(),
	node: process.version,
});

const HEAD = ['state', 'work', 'subject', 'median', 'spread', 'ratio', 'CPU s', 'peak MiB', 'diff area'];

/** The head of the table that `tableRows` fills. */
export const tableHead = (): string => [HEAD, HEAD.map(() => '---')].map(tableLine).join('');

/** Says what is missing and on what the figures are taken, and begins the table. */
export function printIntroduction(repetitions: number, missing: readonly string[]): void {
	for (const peer of missing) process.stdout.write(`left out, not installed: ${peer}\n`);
	const { cpu, cores, kernel, node } = thisMachine();
	process.stdout.write(`${cores} cores (${cpu}), kernel ${kernel}, Node ${node}; ${repetitions} repetitions\n\n`);
	process.stdout.write(tableHead());
}

/** A line for each subject; the ratio is to the last of them. */
export function tableRows({ state, work, unit, series }: Comparison): string {
	const peer = median(series.at(-1)!.figures);
	return series
		.map((one) => tableLine([state, work, one.subject, ...figureCells(one, unit, peer), ...usedCells(one)]))
		.join('');
}

function figureCells({ figures, failure }: Series, unit: string, peer: number): string[] {
	if (figures.length === 0) return [`failed: ${(failure ?? '').slice(0, 60).split('\n', 1)[0]}`, '', ''];
	return [
		`${round(median(figures))} ${unit}`,
		`${round(Math.min(...figures))}–${round(Math.max(...figures))}`,
		(median(figures) / peer).toFixed(2),
	];
}

const usedCells = ({ cpuSeconds, peakBytes, diffAreaRatio }: Series): string[] => [
	cpuSeconds.length > 0 ? median(cpuSeconds).toFixed(2) : '',
	peakBytes.length > 0 ? round(Math.max(...peakBytes) / 2 ** 20) : '',
	diffAreaRatio.length > 0 ? `${median(diffAreaRatio).toFixed(2)} B/B` : '',
];

export const tableLine = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;

/** Three digits that count. */
const round = (value: number): string => (value >= 100 ? String(Math.round(value)) : String(+value.toPrecision(3)));

/** Writes NAME.md, NAME.json and NAME.svg; returns their paths. */
export function writeReport(directory: string, name: string, comparisons: readonly Comparison[]): string[] {
	const machine = thisMachine();
	mkdirSync(directory, { recursive: true });
	const files: [suffix: string, content: string][] = [
		['md', tableHead() + comparisons.map(tableRows).join('')],
		['json', `${JSON.stringify({ machine, comparisons }, null, '\t')}\n`],
		['svg', ratioChart(comparisons)],
	];
	return files.map(([suffix, content]) => {
		const path = join(directory, `${name}.${suffix}`);
		writeFileSync(path, content);
		return path;
	});
}
