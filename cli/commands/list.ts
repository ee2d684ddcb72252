import { ask } from '../../src/control/client.ts';
import type { ShadowCopyReport, StorageReport } from '../../src/control/messages.ts';
import { findVolume, type RegisteredVolume, runningVolumes } from '../../src/service/runtime-directory.ts';
import { JSON_FLAG, parse, usage } from '../arguments.ts';
import { printJson, printLine, sizeText, table } from '../output.ts';

const HELP = `
	Usage
	  $ noonmark list [shadows|storage] [TARGET]

	Shows shadow copies (the default), or the space that they take; of every mounted volume where no TARGET is given.

	Options
	  --json  Print {"shadowCopies":[…]} or {"storage":[…]}
`;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, JSON_FLAG, { min: 0, max: 2 });
	const [first, ...others] = cli.input;
	const kind = first === 'storage' ? 'storage' : 'shadows';
	const targets = first === 'shadows' || first === 'storage' ? others : cli.input;
	if (targets.length > 1) usage(cli, 'one TARGET at most');
	const volumes = targets[0] === undefined ? await runningVolumes() : [await findVolume(targets[0])];
	await (kind === 'storage' ? listStorage(volumes, cli.flags.json) : listShadows(volumes, cli.flags.json));
}

async function listShadows(volumes: readonly RegisteredVolume[], json: boolean): Promise<void> {
	const shadowCopies = await askAll<ShadowCopyReport>(volumes, 'shadows');
	if (json) return printJson({ shadowCopies });
	if (shadowCopies.length === 0) return printLine('There are no shadow copies.');
	printLine(
		table(
			['NAME', 'CREATED (UTC)', 'PRESERVED', 'VOLUME', 'ID'],
			shadowCopies.map(({ name, createdAt, preservedBytes, volume, id }) => [
				name,
				createdAt,
				sizeText(preservedBytes),
				volume,
				id,
			]),
		),
	);
}

async function listStorage(volumes: readonly RegisteredVolume[], json: boolean): Promise<void> {
	const storage = await askAll<StorageReport>(volumes, 'storage');
	if (json) return printJson({ storage });
	printLine(
		table(
			['VOLUME', 'USED', 'ALLOCATED', 'MAXIMUM', 'STORAGE'],
			storage.map(({ volume, usedBytes, allocatedBytes, maximumBytes, path }) => [
				volume,
				sizeText(usedBytes),
				sizeText(allocatedBytes),
				maximumBytes === null ? 'unbounded' : sizeText(maximumBytes),
				path,
			]),
		),
	);
}

async function askAll<Report>(volumes: readonly RegisteredVolume[], verb: 'shadows' | 'storage'): Promise<Report[]> {
	const answers = await Promise.all(volumes.map(({ socketPath }) => ask<Report | Report[]>(socketPath, { verb })));
	return answers.flat() as Report[];
}
