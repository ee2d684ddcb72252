import { ask } from '../../src/control/client.ts';
import type { VerifiedCopy } from '../../src/control/messages.ts';
import { NoonmarkError, refused } from '../../src/errors.ts';
import { findRunningVolume } from '../../src/service/find-volume.ts';
import { deleteOffline, discardOffline, offlineVolume, trustOffline } from '../../src/service/offline-storage.ts';
import type { RegisteredVolume } from '../../src/service/runtime-directory.ts';
import { confirmed, JSON_FLAG, parse, usage } from '../arguments.ts';
import { printJson, printLine, printLines } from '../output.ts';
import { copyLines, verifiedCopies } from './verify.ts';

const HELP = `
	Usage
	  $ noonmark repair TARGET
	  $ noonmark repair IMAGE --discard
	  $ noonmark repair IMAGE --trust

	Verifies the shadow copies of a volume and deletes those that are damaged or unreadable, and no other.
	TARGET is a mounted volume, or the image of one that is not mounted. On a terminal it says what it found, and asks before
	it deletes that.

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
	if (!discard && !trust) return repair(target, running, cli.flags);
	const volume = offlineVolume(target, storage);
	if (discard && !yes && !(await confirmed(`Delete all shadow copies of ${volume.image}?`))) return tellNothing(json);
	if (discard) discardOffline(volume);
	else trustOffline(volume);
	if (json) return printJson({ shadowCopies: [] });
	printLine(`${volume.image}: ${discard ? 'has no shadow copies any more' : 'its shadow copies are kept'}`);
}

/** First looks what is damaged, then asks, and deletes these copies. */
async function repair(
	target: string,
	running: RegisteredVolume | undefined,
	{ storage, yes, json }: { storage: string | undefined; yes: boolean; json: boolean },
): Promise<void> {
	const shadowCopies = (await verifiedCopies(target, running, storage)).filter(({ state }) => state !== 'sound');
	if (shadowCopies.length === 0) return json ? printJson({ shadowCopies }) : printLine('Nothing is damaged.');
	if (!json) printLines(shadowCopies.flatMap(copyLines));
	const names = shadowCopies.map(({ name }) => name);
	if (!yes && !(await confirmed(`Delete ${names.join(', ')}?`))) return tellNothing(json);
	if (running) await deleteMounted(running, shadowCopies);
	else {
		deleteOffline(
			offlineVolume(target, storage),
			shadowCopies.map(({ id }) => id),
		);
	}
	if (json) return printJson({ shadowCopies });
	printLines(names.map((name) => `deleted ${name}`));
}

/** One that had to go meanwhile need not be deleted. */
async function deleteMounted({ socketPath }: RegisteredVolume, copies: readonly VerifiedCopy[]): Promise<void> {
	for (const { id } of copies) {
		await ask(socketPath, { verb: 'delete', which: { named: [id] } }).catch((error) => {
			if (!(error instanceof NoonmarkError && error.code === 'no-such-copy')) throw error;
		});
	}
}

const tellNothing = (json: boolean) => (json ? printJson({ shadowCopies: [] }) : printLine('Nothing was deleted.'));
