import { ask } from '../../src/control/client.ts';
import type { StatusReport } from '../../src/control/messages.ts';
import { findVolume } from '../../src/service/find-volume.ts';
import type { RunningVolume } from '../../src/service/runtime-directory.ts';
import { cleanUpKilled } from '../../src/service/stale-mounts.ts';
import { JSON_FLAG, parse } from '../arguments.ts';
import { printJson, printLine } from '../output.ts';

const HELP = `
	Usage
	  $ noonmark unmount TARGET

	Takes down the data file system, the live device, the tree of shadow copies and the volume service, in this order.
	Refuses where one of them is in use, and says by whom. The shadow copies stay in the storage.
	Where the service was killed, it clears away what that left mounted.

	Options
	  --json  Print {"volumes":[…]}
`;

const copiesText = (count: number) => (count === 1 ? 'its shadow copy stays' : `its ${count} shadow copies stay`);

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, JSON_FLAG, { min: 1, max: 1 });
	const target = cli.input[0]!;
	const killed = await cleanUpKilled(target);
	if (killed) return tellOfKilled(killed.volume, cli.flags.json);
	const { socketPath } = await findVolume(target);
	const { volume } = await ask<StatusReport>(socketPath, { verb: 'unmount' });
	if (cli.flags.json) return printJson({ volumes: [volume] });
	const count = volume.shadowCopyCount;
	const copies = count === 0 ? 'it has no shadow copies' : `${copiesText(count)} in ${volume.storage}`;
	printLine(`unmounted ${volume.image}; ${copies}`);
}

/** How many copies there are nobody knows who does not open the storage. */
function tellOfKilled(volume: RunningVolume, json: boolean): void {
	const { image, mountpoint, live, data, storage, pid, readOnly } = volume;
	const report = { image, mountpoint, live, data, storage, pid, shadowCopyCount: null, frozen: false, readOnly };
	if (json) printJson({ volumes: [report] });
	else printLine(`cleared away what the killed service of ${image} left; shadow copies stay in ${storage}`);
}
