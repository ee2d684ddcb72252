#!/usr/bin/env node
import { ioError } from '../src/errors.ts';
import { parse, usage } from './arguments.ts';
import { EXIT_FAILED, exitCodeOf, printError } from './output.ts';

/** The commands: each in its file, loaded when it is asked for. */
const COMMANDS: Record<string, () => Promise<{ run(argv: readonly string[]): Promise<void> }>> = {
	mount: () => import('./commands/mount.ts'),
	unmount: () => import('./commands/unmount.ts'),
	create: () => import('./commands/create.ts'),
	list: () => import('./commands/list.ts'),
	delete: () => import('./commands/delete.ts'),
	status: () => import('./commands/status.ts'),
	resize: () => import('./commands/resize.ts'),
	events: () => import('./commands/events.ts'),
	verify: () => import('./commands/verify.ts'),
	repair: () => import('./commands/repair.ts'),
	inspect: () => import('./commands/inspect.ts'),
};

const HELP = `
	Usage
	  $ noonmark <command> …

	Commands
	  mount IMAGE MOUNTPOINT       Use a disk image or block device live, and show its shadow copies
	  unmount TARGET               Take it down again
	  create TARGET                Make a shadow copy
	  list [shadows|storage] [TARGET]
	                               Show shadow copies, or the space that they take
	  delete TARGET NAME|ID…       Delete shadow copies (or --oldest, or --all)
	  resize TARGET --max-size SIZE
	                               Change the most that the shadow copies may take
	  status [TARGET]              Show where things stand
	  events TARGET                Show what happened to the shadow copies
	  verify TARGET                Check everything that is kept for the shadow copies
	  repair TARGET                Delete those that are damaged; see its --help for --discard and --trust
	  inspect IMAGE [PATH]         Show the structures of a file system, also of TARGET/@GMT-…

	TARGET is the image, the mount point, the live device, the data directory, the storage, or any path inside one of
	the directories.
	Every command takes --json, and --help for more.

	Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 damaged.
	DEBUG=noonmark:* shows what happens inside.
`;

async function main(argv: readonly string[]): Promise<void> {
	const [name, ...rest] = argv;
	const load = name === undefined ? undefined : COMMANDS[name];
	if (load) return (await load()).run(rest);
	const cli = parse(argv, HELP, {}, { min: 0, max: Number.POSITIVE_INFINITY });
	usage(cli, name === undefined ? 'which command?' : `${name}: there is no such command`);
}

const argv = process.argv.slice(2);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
	if (error.code === 'EPIPE') process.exit(); // whoever read this, like head(1), has seen enough
	printError(ioError('output-failed', `what was to be said could not be written: ${error.message}`), false);
	process.exit(EXIT_FAILED);
});
try {
	await main(argv);
} catch (error) {
	printError(error, argv.includes('--json'));
	process.exitCode = exitCodeOf(error);
}
