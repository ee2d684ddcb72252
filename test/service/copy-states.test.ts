import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { CopyStates } from '../../src/service/copy-states.ts';
import type { ProvidedCopy } from '../../src/shadow/provider.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

test('of a copy whose disk does not answer nothing is known for the time being, and that is told in time', async (t) => {
	// To open this waits for somebody who writes to it.
	const disk = join(temporaryDirectory(t), 'disk');
	execFileSync('mkfifo', [disk]);
	const copyOn = (number: number, fault: string | null) =>
		({ number, fault, device: { kind: 'volume', volumePath: disk } }) as unknown as ProvidedCopy;
	const states = new CopyStates({ replayJournal: true });
	const copies = [copyOn(1, null), copyOn(2, 'a segment is missing')];
	const unreadable = { state: 'unreadable', fault: 'a segment is missing' };
	t.deepEqual(await states.of(copies), [{ state: 'created', fault: null }, unreadable]);
	await runOk('sh', ['-c', ': > "$1"', 'sh', disk]);
	t.like(await states.of(copies), [{ state: 'damaged' }, unreadable]);
});
