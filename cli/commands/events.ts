import { ask, askForEach } from '../../src/control/client.ts';
import type { VolumeEvent } from '../../src/control/messages.ts';
import { readEvents } from '../../src/service/event-log.ts';
import { findStorage } from '../../src/service/find-storage.ts';
import { findRunningVolume } from '../../src/service/find-volume.ts';
import { JSON_FLAG, parse } from '../arguments.ts';
import { printJson, printLine, printLines } from '../output.ts';

const HELP = `
	Usage
	  $ noonmark events TARGET

	Shows what happened to the shadow copies of a volume: time, kind, the name of the fault, and what it means, oldest
	first. TARGET may also be the storage, or the image with its storage beside it, of a volume that is not mounted.

	Options
	  --follow  Go on with each event as it happens, until the volume is unmounted
	  --json    Print {"events":[…]}; with --follow, each event as a line
`;

const FLAGS = { ...JSON_FLAG, follow: { type: 'boolean', default: false } } as const;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, FLAGS, { min: 1, max: 1 });
	const { follow, json } = cli.flags;
	const target = cli.input[0]!;
	const socketPath = (await findRunningVolume(target))?.socketPath;
	if (follow && socketPath !== undefined) {
		const print = json ? printJson : (event: VolumeEvent) => printLine(eventText(event));
		for await (const event of askForEach<VolumeEvent>(socketPath, { verb: 'follow' })) print(event);
		return;
	}
	const events =
		socketPath === undefined
			? readEvents(findStorage(target))
			: await ask<VolumeEvent[]>(socketPath, { verb: 'events' });
	if (!json) return printLines(events.length === 0 ? ['Nothing happened.'] : events.map(eventText));
	if (!follow) return printJson({ events });
	for (const event of events) printJson(event);
}

const eventText = ({ time, kind, fault, message }: VolumeEvent) =>
	`${time}  ${kind}${fault ? ` (${fault})` : ''}  ${message}`;
