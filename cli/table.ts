import Table from 'cli-table3';
import { printable } from './output.ts';

/** The lines of a table without rules; the first one is the head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
	const chars = Object.fromEntries(
		[
			'top',
			'top-mid',
			'top-left',
			'top-right',
			'bottom',
			'bottom-mid',
			'bottom-left',
			'bottom-right',
			'left',
			'left-mid',
			'mid',
			'mid-mid',
			'right',
			'right-mid',
		].map((name) => [name, '']),
	);
	const lines = new Table({
		head: [...head],
		chars: { ...chars, middle: '  ' },
		style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
	});
	for (const row of rows) lines.push(row.map(printable)); // else a cell could have lines of its own
	return lines
		.toString()
		.split('\n')
		.map((line) => line.trimEnd());
}
