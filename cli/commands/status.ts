import type { StatusReport } from '../../src/control/messages.ts';
import { JSON_FLAG, parse } from '../arguments.ts';
import { printJson, printLine, printLines, sizeText } from '../output.ts';
import { askVolumes } from '../volumes.ts';

const HELP = `
	Usage
	  $ noonmark status [TARGET]

	Shows the paths on which a volume stands, its shadow copies, the space that they take, and what happened lately.

	Options
	  --json  Print {"volumes":[…]}
`;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, JSON_FLAG, { min: 0, max: 1 });
	const { answers: reports, failure } = await askVolumes<StatusReport>(cli.input[0], { verb: 'status' });
	if (cli.flags.json) return printJson({ volumes: reports.map(({ volume }) => volume), ...failure });
	if (reports.length === 0) return printLine('No volume is mounted.');
	printLines(reports.flatMap((report, i) => (i === 0 ? statusLines(report) : ['', ...statusLines(report)])));
}

const liveRows = (live: string, data: string | null): (readonly [string, string])[] => [
	['live device', live],
	['data', data ?? 'not mounted by Noonmark; loop-mount the live device to use it'],
];

/** The status of a volume for people. */
export function statusLines({ volume, storage, events }: StatusReport): string[] {
	const maximum = storage.maximumBytes === null ? 'unbounded' : `of at most ${sizeText(storage.maximumBytes)}`;
	const rows: (readonly [string, string])[] = [
		['image', volume.readOnly ? `${volume.image} (read-only)` : volume.image],
		...(volume.live === null ? [] : liveRows(volume.live, volume.data)),
		['shadow copies', `${volume.mountpoint} (${volume.shadowCopyCount})`],
		['storage', `${volume.storage} (${sizeText(storage.usedBytes)} used, ${maximum})`],
		['state', volume.frozen ? 'frozen: a shadow copy is being made' : 'running'],
		['service', `pid ${volume.pid}`],
		...events.map(({ time, message }, i) => [i === 0 ? 'events' : '', `${time} ${message}`] as const),
	];
	return rows.map(([label, text]) => `${label.padEnd(14)} ${text}`);
}
