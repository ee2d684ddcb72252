import test from 'ava';
import { compare, median, type Subject, type Work } from './compare.ts';

const work = (log: string[], more: Partial<Work> = {}): Work => ({
	name: 'work',
	unit: 'units/s',
	measure: async (root) => log.push(`measure ${root}`),
	...more,
});

const compareWith = (log: string[], repetitions: number) => ({
	repetitions,
	dropCaches: async () => log.push('drop'),
});

test('subjects take turns, each repetition beginning with another one, with cold caches', async (t) => {
	const log: string[] = [];
	const subjects: Subject[] = [
		{ name: 'one', root: 'a', prepare: async () => void log.push('prepare a') },
		{ name: 'two', root: 'b' },
	];
	const { series } = await compare('state', work(log), subjects, compareWith(log, 2));
	t.deepEqual(log, [
		...['prepare a', 'drop', 'measure a', 'drop', 'measure b'],
		...['drop', 'measure b', 'prepare a', 'drop', 'measure a'],
	]);
	t.deepEqual(
		series.map(({ subject, figures }) => [subject, figures]),
		[
			['one', [3, 10]],
			['two', [5, 7]],
		],
	);
});

test('a warm work is done once before it is measured', async (t) => {
	const log: string[] = [];
	const { series } = await compare(
		'state',
		work(log, { cache: 'warm' }),
		[{ name: 'one', root: 'a' }],
		compareWith(log, 1),
	);
	t.deepEqual(log, ['drop', 'measure a', 'measure a']);
	t.deepEqual(series[0]!.figures, [3]);
});

test('a load ends with the measurement, also with one that fails', async (t) => {
	const log: string[] = [];
	const subject: Subject = {
		name: 'one',
		root: 'a',
		load: async () => {
			log.push('load');
			return async () => void log.push('end of load');
		},
	};
	const failing = work(log, { measure: () => Promise.reject(new Error('no such work')) });
	const { series } = await compare('state', failing, [subject], compareWith(log, 2));
	t.deepEqual(log, ['drop', 'load', 'end of load'], 'and what failed is not tried again');
	t.deepEqual([series[0]!.figures, series[0]!.failure], [[], 'no such work']);
});

test('what the serving process uses is measured, and what it writes', async (t) => {
	let writtenBytes = 0;
	const subject: Subject = {
		name: 'one',
		root: 'a',
		pids: [process.pid],
		writtenBytes: async () => ({ diffArea: 3 * writtenBytes, disk: 2 * writtenBytes }),
	};
	const busy = work([], {
		measure: async () => {
			writtenBytes += 1000;
			const before = process.cpuUsage();
			while (process.cpuUsage(before).user + process.cpuUsage(before).system < 100_000);
			return 1;
		},
	});
	const { series } = await compare('state', busy, [subject], compareWith([], 1));
	t.true(series[0]!.cpuSeconds[0]! >= 0.08, `${series[0]!.cpuSeconds}`); // 0.1 s, in ticks of 0.01 s
	t.true(series[0]!.peakBytes[0]! > 10 << 20, `${series[0]!.peakBytes}`);
	t.deepEqual(series[0]!.diffAreaRatio, [1.5]);
});

test('the median of an even number of figures lies between the middle two', (t) => {
	t.is(median([9, 1, 5]), 5);
	t.is(median([4, 1, 9, 2]), 3);
});
