import Table from 'cli-table3';
import { type ErrorFamily, plainError } from '../src/errors.ts';

/** A table without lines; the first row is the head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
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
	for (const row of rows) lines.push([...row]);
	return lines.toString().replaceAll(/ +$/gm, '');
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `16.0 KiB`; exact below 1 KiB. */
export function sizeText(bytes: number): string {
	const power = Math.min(UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
	return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${UNITS[power]}`;
}

export function printLine(line: string): void {
	process.stdout.write(`${line}\n`);
}

export function printJson(value: unknown): void {
	printLine(JSON.stringify(value));
}

/** Tells what went wrong: one line on stderr, and with --json one object on stdout. */
export function printError(thrown: unknown, json: boolean): void {
	const { code, message } = plainError(thrown);
	process.stderr.write(`noonmark: ${message.replaceAll('\n', ' ')}\n`);
	if (json) printJson({ error: { code, message } });
}

export const EXIT_USAGE = 2;
export const EXIT_DAMAGED = 5;

const EXIT_CODES: Record<ErrorFamily, number> = {
	io: 1,
	missing: 3,
	refused: 4,
	unsupported: 4,
	corrupt: EXIT_DAMAGED,
};

export const exitCodeOf = (thrown: unknown) => EXIT_CODES[plainError(thrown).family];
