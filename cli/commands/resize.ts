import { ask } from '../../src/control/client.ts';
import type { StorageReport } from '../../src/control/messages.ts';
import { findVolume } from '../../src/service/find-volume.ts';
import { JSON_FLAG, parse, usage } from '../arguments.ts';
import { printJson, printLine, sizeText } from '../output.ts';
import { MAXIMUM_SIZE_EXPECTED, parseMaximumSize } from '../size.ts';

const HELP = `
	Usage
	  $ noonmark resize TARGET --max-size SIZE

	Changes the most that the diff area of a mounted volume may take; later mounts keep to it. Where the shadow copies take
	more than that, the oldest are deleted, or under the policy protect-shadows the change is refused.

	Options
	  --max-size SIZE  500M, 20G, 15% of the volume, unbounded
	  --json           Print {"storage":[…]}
`;

const FLAGS = { ...JSON_FLAG, maxSize: { type: 'string' } } as const;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, FLAGS, { min: 1, max: 1 });
	const maximumSize = parseMaximumSize(cli.flags.maxSize ?? '');
	if (!maximumSize) usage(cli, `--max-size ${cli.flags.maxSize ?? 'is missing'}: ${MAXIMUM_SIZE_EXPECTED}`);
	const { socketPath } = await findVolume(cli.input[0]!);
	const storage = await ask<StorageReport>(socketPath, { verb: 'resize', maximumSize });
	if (cli.flags.json) return printJson({ storage: [storage] });
	const maximum = storage.maximumBytes === null ? 'unbounded' : `at most ${sizeText(storage.maximumBytes)}`;
	printLine(`${storage.path}: ${maximum}, of which ${sizeText(storage.usedBytes)} are used`);
}
