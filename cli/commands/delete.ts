import { ask } from '../../src/control/client.ts';
import type { CopySelection, ShadowCopyReport } from '../../src/control/messages.ts';
import { findVolume } from '../../src/service/find-volume.ts';
import { confirmed, JSON_FLAG, parse, usage } from '../arguments.ts';
import { printJson, printLine } from '../output.ts';

const HELP = `
	Usage
	  $ noonmark delete TARGET NAME|ID…
	  $ noonmark delete TARGET --oldest
	  $ noonmark delete TARGET --all

	Deletes shadow copies. On a terminal it asks first.

	Options
	  --oldest  The oldest one
	  --all     All of the volume
	  --yes     Do not ask
	  --json    Print {"shadowCopies":[…]}: those that were deleted
`;

const FLAGS = {
	...JSON_FLAG,
	oldest: { type: 'boolean', default: false },
	all: { type: 'boolean', default: false },
	yes: { type: 'boolean', default: false },
} as const;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, FLAGS, { min: 1, max: Number.POSITIVE_INFINITY });
	const [target, ...named] = cli.input as [string, ...string[]];
	const { oldest, all, yes, json } = cli.flags;
	if (Number(oldest) + Number(all) + Number(named.length > 0) !== 1) {
		usage(cli, 'say which copies: names or ids, or --oldest, or --all');
	}
	const which: CopySelection = all ? { all } : oldest ? { oldest } : { named };
	const { socketPath } = await findVolume(target);
	const what = all ? 'all shadow copies' : oldest ? 'the oldest shadow copy' : named.join(', ');
	const isSure = yes || (await confirmed(`Delete ${what}?`));
	const shadowCopies = isSure ? await ask<ShadowCopyReport[]>(socketPath, { verb: 'delete', which }) : [];
	if (json) return printJson({ shadowCopies });
	if (shadowCopies.length === 0) return printLine(isSure ? 'There are no shadow copies.' : 'Nothing was deleted.');
	for (const { name } of shadowCopies) printLine(`deleted ${name}`);
}
