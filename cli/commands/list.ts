import type { ShadowCopyReport, StorageReport } from '../../src/control/messages.ts';
import { JSON_FLAG, parse, usage } from '../arguments.ts';
import { printJson, printLine, printLines, sizeText } from '../output.ts';
import { table } from '../table.ts';
import { askVolumes } from '../volumes.ts';

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
	await (kind === 'storage' ? listStorage(targets[0], cli.flags.json) : listShadows(targets[0], cli.flags.json));
}

async function listShadows(target: string | undefined, json: boolean): Promise<void> {
	const { answers, failure } = await askVolumes<ShadowCopyReport[]>(target, { verb: 'shadows' });
	const shadowCopies = answers.flat();
	if (json) return printJson({ shadowCopies, ...failure });
	if (shadowCopies.length === 0) return printLine('There are no shadow copies.');
	printLines(
		table(
			['NAME', 'CREATED (UTC)', 'PRESERVED', 'FREED BY DELETING', 'VOLUME', 'ID', 'STATE'],
			shadowCopies.map(({ name, createdAt, preservedBytes, freedByDeletingBytes, volume, id, state }) => [
				name,
				createdAt,
				sizeText(preservedBytes),
				freedByDeletingBytes === null ? '-' : sizeText(freedByDeletingBytes),
				volume,
				id,
				state,
			]),
		),
	);
	for (const { name, state, fault } of shadowCopies) if (fault !== null) printLine(`${name} is ${state}: ${fault}`);
}

async function listStorage(target: string | undefined, json: boolean): Promise<void> {
	const { answers: storage, failure } = await askVolumes<StorageReport>(target, { verb: 'storage' });
	if (json) return printJson({ storage, ...failure });
	printLines(
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
