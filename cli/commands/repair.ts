import { askForEach } from '../../src/control/client.ts';
import type { VerifyNews } from '../../src/control/messages.ts';
import { refused } from '../../src/errors.ts';
import { discardOffline, offlineVolume, repairOffline, trustOffline } from '../../src/service/offline-storage.ts';
import { findRunningVolume } from '../../src/service/runtime-directory.ts';
import { confirmed, JSON_FLAG, parse, usage } from '../arguments.ts';
import { printJson, printLine, printLines } from '../output.ts';
import { showProgress } from '../progress.ts';
import { copyLines, lastCopies } from './verify.ts';

const HELP = `
	Usage
	  $ noonmark repair TARGET
	  $ noonmark repair IMAGE --discard
	  $ noonmark repair IMAGE --trust

	Verifies the shadow copies of a volume and deletes those that are damaged or unreadable, and no other.
	TARGET is a mounted volume, or the image of one that is not mounted. On a terminal it asks before it deletes.

	Options
	  --discard      Delete all shadow copies, whatever state they are in, or forget them where the storage is lost
	  --trust        Keep the copies although the volume was changed while Noonmark was not in between: what was changed
	                 then shows in them as if it had been so before
	  --storage DIR  The diff area of an image that is not mounted (default: IMAGE.noonmark)
	  --yes          Do not ask
	  --json         Print {"shadowCopies":[…]}: those that were deleted
`;

const FLAGS = {
	...JSON_FLAG,
	discard: { type: 'boolean', default: false },
	trust: { type: 'boolean', default: false },
	storage: { type: 'string' },
	yes: { type: 'boolean', default: false },
} as const;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, FLAGS, { min: 1, max: 1 });
	const target = cli.input[0]!;
	const { discard, trust, storage, yes, json } = cli.flags;
	if (discard && trust) usage(cli, 'either --discard or --trust');
	const running = await findRunningVolume(target);
	if (running && (discard || trust)) {
		throw refused('image-in-use', `${target}: is mounted; unmount it first, or use "noonmark delete --all"`);
	}
	const what = discard ? 'all shadow copies' : 'the shadow copies that are damaged';
	if (!trust && !yes && !(await confirmed(`Delete ${what}?`))) {
		return json ? printJson({ shadowCopies: [] }) : printLine('Nothing was deleted.');
	}
	if (discard || trust) {
		const volume = offlineVolume(target, storage);
		if (discard) discardOffline(volume);
		else trustOffline(volume);
		return json
			? printJson({ shadowCopies: [] })
			: printLine(`${volume.image}: ${discard ? 'has no shadow copies any more' : 'its shadow copies are kept'}`);
	}
	const shadowCopies = running
		? await lastCopies(askForEach<VerifyNews>(running.socketPath, { verb: 'repair' }))
		: repairOffline(offlineVolume(target, storage), showProgress);
	if (json) return printJson({ shadowCopies });
	if (shadowCopies.length === 0) return printLine('Nothing is damaged.');
	printLines(
		shadowCopies.flatMap((copy) => {
			const [first, ...others] = copyLines(copy);
			return [`deleted ${first}`, ...others];
		}),
	);
}
