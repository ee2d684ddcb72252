import { readFileSync } from 'node:fs';
import test from 'ava';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import type { Comparison, Series } from './compare.ts';
import { tableHead, tableRows, writeReport } from './report.ts';

const series = (subject: string, figures: number[], more: Partial<Series> = {}): Series => ({
	subject,
	figures,
	cpuSeconds: [],
	peakBytes: [],
	diffAreaRatio: [],
	...more,
});

const COMPARISON: Comparison = {
	state: 'one copy',
	work: 'find & stat',
	unit: 'entries/s',
	series: [
		series('Noonmark', [900, 1100, 1000], { cpuSeconds: [0.2, 0.4, 0.3], peakBytes: [50 << 20, 70 << 20, 60 << 20] }),
		series('<peer>', [12.345, 10, 11], { diffAreaRatio: [1.5] }),
		{ ...series('slow', []), failure: 'timeout: exit 124\nmore' },
		series('kernel', [500, 400, 450]),
	],
};

test('the table shows medians, spread, ratios to the last subject, and what was used', (t) => {
	t.is(
		tableHead() + tableRows(COMPARISON),
		`| state | work | subject | median | spread | ratio | CPU s | peak MiB | diff area |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| one copy | find & stat | Noonmark | 1000 entries/s | 900–1100 | 2.22 | 0.30 | 70 |  |
| one copy | find & stat | <peer> | 11 entries/s | 10–12.3 | 0.02 |  |  | 1.50 B/B |
| one copy | find & stat | slow | failed: timeout: exit 124 |  |  |  |  |  |
| one copy | find & stat | kernel | 450 entries/s | 400–500 | 1.00 |  |  |  |
`,
	);
});

test('a report is a table, the figures as JSON, and a chart that is well-formed XML', async (t) => {
	const directory = temporaryDirectory(t);
	const [table, json, chart] = writeReport(directory, 'browse', [COMPARISON]) as [string, string, string];
	t.is(readFileSync(table, 'utf8'), tableHead() + tableRows(COMPARISON));
	t.deepEqual(JSON.parse(readFileSync(json, 'utf8')).comparisons, [COMPARISON]);
	const texts = await runOk('python3', [
		'-c',
		"import sys, xml.etree.ElementTree as x; print('\\n'.join(e.text for e in x.parse(sys.argv[1]).iter() if e.text))",
		chart,
	]);
	for (const text of ['one copy: find & stat', '<peer>', '2.22', '0.02', '1 = kernel'])
		t.true(texts.toString().split('\n').includes(text), text);
});
