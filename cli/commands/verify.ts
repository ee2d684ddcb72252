import { askForEach } from '../../src/control/client.ts';
import type { VerifiedCopy, VerifyNews } from '../../src/control/messages.ts';
import { findRunningVolume } from '../../src/service/find-volume.ts';
import { offlineVolume, verifyOffline } from '../../src/service/offline-storage.ts';
import type { RegisteredVolume } from '../../src/service/runtime-directory.ts';
import { JSON_FLAG, parse } from '../arguments.ts';
import { EXIT_DAMAGED, printJson, printLines } from '../output.ts';
import { showProgress } from '../progress.ts';

const HELP = `
	Usage
	  $ noonmark verify TARGET

	Reads everything that is kept for the shadow copies of a volume and checks it against its checksums. Says which copies
	are damaged, and which of their files. TARGET is a mounted volume, or the image of one that is not mounted.
	What the copies read from the volume itself has no checksums.

	Options
	  --storage DIR  The diff area of an image that is not mounted (default: IMAGE.noonmark)
	  --json         Print {"shadowCopies":[…]}

	The exit code is 5 where anything is damaged.
`;

const FLAGS = { ...JSON_FLAG, storage: { type: 'string' } } as const;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, FLAGS, { min: 1, max: 1 });
	const target = cli.input[0]!;
	const shadowCopies = await verifiedCopies(target, await findRunningVolume(target), cli.flags.storage);
	if (shadowCopies.some(({ state }) => state !== 'sound')) process.exitCode = EXIT_DAMAGED;
	if (cli.flags.json) return printJson({ shadowCopies });
	printLines(shadowCopies.length === 0 ? ['There are no shadow copies.'] : shadowCopies.flatMap(copyLines));
}

/** What is found of all shadow copies; shows the progress. */
export async function verifiedCopies(
	target: string,
	running: RegisteredVolume | undefined,
	storage: string | undefined,
): Promise<readonly VerifiedCopy[]> {
	if (!running) return verifyOffline(offlineVolume(target, storage), showProgress);
	for await (const item of askForEach<VerifyNews>(running.socketPath, { verb: 'verify' })) {
		if ('copies' in item) return item.copies;
		showProgress(item.progress);
	}
	throw new Error('the volume was unmounted meanwhile');
}

/** What was found of a copy, for people. */
export function copyLines({ name, state, faults, files, otherBlocks }: VerifiedCopy): string[] {
	const lines = [`${name}  ${state}`, ...faults.map((fault) => `    ${fault}`)];
	if (files.length > 0) lines.push('  files:', ...files.map((file) => `    ${file}`));
	if (otherBlocks > 0) lines.push(`  blocks that are no content of a file: ${otherBlocks}`);
	return lines;
}
