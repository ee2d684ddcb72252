import { type ErrorFamily, plainError } from '../src/errors.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `16.0 KiB`; exact below 1 KiB. */
export function sizeText(bytes: number): string {
	const power = Math.min(UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
	return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${UNITS[power]}`;
}

/**
 * Names and messages may hold anything: what would end a line or steer a terminal is shown as `?`. Whatever is printed for
 * people goes through this, line by line.
 */
export const printable = (text: string) => text.replaceAll(/\p{Cc}/gu, '?');

/** Prints lines for people, each made printable. */
export function printLines(lines: readonly string[]): void {
	process.stdout.write(lines.map((line) => `${printable(line)}\n`).join(''));
}

export const printLine = (line: string) => printLines([line]);

/** A line on stderr about what went wrong. */
export function complain(message: string, program = 'noonmark'): void {
	process.stderr.write(`${program}: ${printable(message)}\n`);
}

/** Prints a line of JSON. */
export function printJson(value: unknown): void {
	process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** An error as `--json` shows it. */
export interface PrintedError {
	readonly error: { readonly code: string; readonly message: string };
}

/** Tells what went wrong in a line on stderr, and returns it as `--json` shows it. */
export function warn(thrown: unknown): PrintedError {
	const { code, message } = plainError(thrown);
	complain(message);
	return { error: { code, message } };
}

/** Tells what went wrong: one line on stderr, and with --json one object on stdout. */
export function printError(thrown: unknown, json: boolean): void {
	const printed = warn(thrown);
	if (json) printJson(printed);
}

export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_DAMAGED = 5;

const EXIT_CODES: Record<ErrorFamily, number> = {
	io: EXIT_FAILED,
	missing: 3,
	refused: 4,
	unsupported: 4,
	corrupt: EXIT_DAMAGED,
};

export const exitCodeOf = (thrown: unknown) => EXIT_CODES[plainError(thrown).family];
