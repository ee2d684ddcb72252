import { createInterface } from 'node:readline/promises';
import meow, { type AnyFlags, type Result } from 'meow';
import { EXIT_USAGE } from './output.ts';

/** The flag that every command has. */
export const JSON_FLAG = { json: { type: 'boolean', default: false } } as const;

/** Parses the arguments of a command. Unknown flags and a wrong number of arguments end the process with the usage. */
export function parse<Flags extends AnyFlags>(
	argv: readonly string[],
	help: string,
	flags: Flags,
	count: { min: number; max: number },
): Result<Flags> {
	const cli = meow(help, { importMeta: import.meta, argv, flags, allowUnknownFlags: false });
	if (cli.input.length < count.min || cli.input.length > count.max) usage(cli, 'wrong number of arguments');
	return cli;
}

/** Ends the process: the command was not understood. */
export function usage(cli: Pick<Result<AnyFlags>, 'help'>, message: string): never {
	process.stderr.write(`noonmark: ${message}\n${cli.help}\n`);
	process.exit(EXIT_USAGE);
}

/** Asks on a terminal; elsewhere, what was said on the command line counts. */
export async function confirmed(question: string): Promise<boolean> {
	if (!process.stdin.isTTY) return true;
	const terminal = createInterface({ input: process.stdin, output: process.stderr });
	try {
		return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
	} finally {
		terminal.close();
	}
}
