import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import meow, { type AnyFlags, type Result } from 'meow';
import { complain, EXIT_USAGE, printable } from './output.ts';

/** The flag that every command has. */
export const JSON_FLAG = { json: { type: 'boolean', default: false } } as const;

/** Parses the arguments of a command. Unknown flags, empty arguments and a wrong number of them end the process with the usage. */
export function parse<Flags extends AnyFlags>(
	argv: readonly string[],
	help: string,
	flags: Flags,
	count: { min: number; max: number },
): Result<Flags> {
	const cli = meow(help, { importMeta: import.meta, argv, flags });
	const unknown = Object.keys(cli.unnormalizedFlags).find((name) => !(name in flags));
	if (unknown !== undefined) usage(cli, `${asWritten(unknown)}: there is no such option`);
	const empty = Object.entries(cli.flags).find(([, value]) => value === '');
	if (empty) usage(cli, `${asWritten(empty[0])}: its value is missing`);
	if (cli.input.includes('')) usage(cli, 'an argument is empty');
	if (cli.input.length < count.min || cli.input.length > count.max) usage(cli, 'wrong number of arguments');
	return cli;
}

/** `maxSize` is --max-size. */
const asWritten = (name: string) =>
	name.length === 1 ? `-${name}` : `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Ends the process: the command was not understood. */
export function usage(cli: Pick<Result<AnyFlags>, 'help'>, message: string): never {
	complain(message);
	process.stderr.write(`${cli.help}\n`);
	process.exit(EXIT_USAGE);
}

/** Asks on a terminal; elsewhere, what was said on the command line counts. */
export async function confirmed(question: string): Promise<boolean> {
	if (!process.stdin.isTTY) return true;
	const terminal = createInterface({ input: process.stdin, output: process.stderr });
	const ended = once(terminal, 'close').then(() => '');
	try {
		// Ctrl-D and Ctrl-C are no answer, and mean no.
		const answer = await Promise.race([terminal.question(`${printable(question)} [y/N] `).catch(() => ''), ended]);
		return /^y(es)?$/i.test(answer.trim());
	} finally {
		terminal.close();
	}
}
