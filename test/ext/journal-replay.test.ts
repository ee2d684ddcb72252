import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import * as layout from '../../src/ext/journal-layout.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { journalBlocksOf, type Log, type Transaction, writeJournal } from '../helpers/journal-writer.ts';
import {
	BLOCK_BYTES,
	emptyImage,
	FIRST_TARGET,
	formats,
	kernelTargets,
	plain,
	readTargets,
	TARGETS,
	targetsInFile,
	threeTransactions,
} from '../helpers/logged-volume.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const it = canMount && programs('mke2fs', 'e2fsck', 'debugfs') ? test : test.skip;

async function toolTargets(directory: string, image: string, tool: 'e2fsck' | 'debugfs'): Promise<string[]> {
	const copy = join(directory, tool);
	copyFileSync(image, copy);
	if (tool === 'e2fsck') await run('e2fsck', ['-fy', '-E', 'journal_only', copy]);
	else await run('debugfs', ['-w', '-R', 'journal_run', copy]);
	return targetsInFile(copy);
}

function randomTransaction(random: Random, index: number): Transaction {
	const target = () => FIRST_TARGET + random.integer(TARGETS);
	const blocks = new Set(Array.from({ length: 1 + random.integer(20) }, target));
	return {
		writes: [...blocks].map((block) => {
			const content = Buffer.alloc(BLOCK_BYTES, `block ${block} transaction ${index} `);
			if (random.integer(5) === 0) content.writeUInt32BE(0xc03b3998, 0);
			return { block, content };
		}),
		revokes: Array.from({ length: random.integer(4) }, target),
		isCommitted: true,
		timeSec: 1000 + index,
	};
}

/** Sometimes the last is not committed; sometimes it wraps round the end of the log, or its numbers round 2^32. */
function randomLog(random: Random, blockCount: number): Log {
	const transactions = Array.from({ length: 1 + random.integer(12) }, (_, i) => randomTransaction(random, i));
	if (random.integer(3) === 0) transactions[transactions.length - 1] = { ...transactions.at(-1)!, isCommitted: false };
	return {
		sequence: random.pick([1, 7, 0xfffffffe, 0x7fffffff]),
		...(random.integer(2) === 0 ? {} : { startBlock: blockCount - 1 - random.integer(60) }),
		transactions,
	};
}

const JOURNAL_BLOCKS = 1024;

for (const [name, format] of Object.entries(formats)) {
	it(`${name}: logs with revokes, escapes and wraps read as the kernel, e2fsck and debugfs replay them`, async (t) => {
		const directory = temporaryDirectory(t);
		const random = new Random(name.length * 1000 + 20261122);
		t.log(`seed ${random.seed}`);
		for (let round = 0; round < 3; round++) {
			const image = await emptyImage(directory, format);
			const log = randomLog(random, JOURNAL_BLOCKS);
			await writeJournal(image, format, log);
			const ours = readTargets(image);
			t.deepEqual(ours, await kernelTargets(directory, image), 'kernel');
			t.deepEqual(ours, await toolTargets(directory, image, 'e2fsck'), 'e2fsck');
			if (format.checksum !== 'v1') t.deepEqual(ours, await toolTargets(directory, image, 'debugfs'), 'debugfs');
		}
	});
}

it('a log of a volume that does not say it needs recovery is old, as for the kernel', async (t) => {
	const directory = temporaryDirectory(t);
	const image = await emptyImage(directory, plain);
	await writeJournal(image, plain, threeTransactions);
	const replayed = readTargets(image);
	editImage(image, (editor) => editor.setSuperblock({ incompat: editor.superblock().incompat & ~0x4 }));
	const ours = readTargets(image);
	t.notDeepEqual(ours, replayed);
	t.deepEqual(ours, await kernelTargets(directory, image));
});

/** Of a journal with 2048 blocks: s_num_fc_blks, the end of the ring that is left, and its start; too short a one is refused. */
const FAST_COMMIT_AREAS = [
	[0, 2048 - 256, 1],
	[2, 2048 - 2, 700],
	[300, 2048 - 300, 2],
	[1024, 1024, 1],
	[1025, 2048, 1],
	[5000, 2048, 1],
] as const;

it('a log that wraps round before the blocks of fast commits reads as the kernel replays it', async (t) => {
	const directory = temporaryDirectory(t);
	const random = new Random(20261130);
	t.log(`seed ${random.seed}`);
	for (const [i, [fastCommitBlocks, ringEnd, firstLogBlock]] of FAST_COMMIT_AREAS.entries()) {
		const format = { ...(i % 2 === 0 ? plain : formats['checksum v3, 64 bits']!), fastCommitBlocks };
		const image = await emptyImage(directory, format);
		const [first] = await journalBlocksOf(image);
		editImage(image, (editor) =>
			editor.patch(first! * BLOCK_BYTES, BLOCK_BYTES, (block) =>
				layout.journalSuperblockLayout.encode({ firstLogBlock }, block),
			),
		);
		const log = { ...randomLog(random, ringEnd), startBlock: ringEnd - 1 - random.integer(10), ringEnd };
		await writeJournal(image, format, log);
		const ours = readTargets(image);
		t.is(typeof ours === 'string', ringEnd + fastCommitBlocks > 2048);
		t.deepEqual(ours, await kernelTargets(directory, image), `s_num_fc_blks ${fastCommitBlocks}`);
	}
});
