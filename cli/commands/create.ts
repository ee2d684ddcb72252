import { ask } from '../../src/control/client.ts';
import type { ShadowCopyReport } from '../../src/control/messages.ts';
import { findVolume } from '../../src/service/find-volume.ts';
import { JSON_FLAG, parse } from '../arguments.ts';
import { printJson, printLine } from '../output.ts';

const HELP = `
	Usage
	  $ noonmark create TARGET

	Freezes what is mounted from the live device, keeps the volume as it is at that moment, and thaws.
	Prints the new shadow copy's name and its directory.

	Options
	  --no-writers  Freeze nothing: the copy is what a power cut would have left, and its journal is replayed to read it
	  --json        Print {"shadowCopies":[…]}
`;

const FLAGS = { ...JSON_FLAG, writers: { type: 'boolean', default: true } } as const;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, FLAGS, { min: 1, max: 1 });
	const { socketPath } = await findVolume(cli.input[0]!);
	const shadowCopies = await ask<ShadowCopyReport[]>(socketPath, { verb: 'create', noWriters: !cli.flags.writers });
	if (cli.flags.json) return printJson({ shadowCopies });
	for (const { name, path } of shadowCopies) printLine(`${name}  ${path}`);
}
