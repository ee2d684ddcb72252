import { ask } from '../../src/control/client.ts';
import type { StatusReport } from '../../src/control/messages.ts';
import { findVolume } from '../../src/service/runtime-directory.ts';
import { JSON_FLAG, parse } from '../arguments.ts';
import { printJson, printLine } from '../output.ts';

const HELP = `
	Usage
	  $ noonmark unmount TARGET

	Takes down the data file system, the live device, the tree of shadow copies and the volume service, in this order.
	Refuses where one of them is in use, and says by whom. The shadow copies stay in the storage.

	Options
	  --json  Print {"volumes":[…]}
`;

const copiesText = (count: number) => (count === 1 ? 'its shadow copy stays' : `its ${count} shadow copies stay`);

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, JSON_FLAG, { min: 1, max: 1 });
	const { socketPath } = await findVolume(cli.input[0]!);
	const { volume } = await ask<StatusReport>(socketPath, { verb: 'unmount' });
	if (cli.flags.json) return printJson({ volumes: [volume] });
	const count = volume.shadowCopyCount;
	const copies = count === 0 ? 'it has no shadow copies' : `${copiesText(count)} in ${volume.storage}`;
	printLine(`unmounted ${volume.image}; ${copies}`);
}
