import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { readSuperblock } from '../../src/ext/filesystem.ts';
import { withJournal } from '../../src/ext/journal.ts';
import { commitChecksum, tailChecksum } from '../../src/ext/journal-checksum.ts';
import { superblockChecksum } from '../../src/ext/journal-file.ts';
import * as layout from '../../src/ext/journal-layout.ts';
import { editImage } from '../helpers/ext-edit.ts';
import {
	type JournalFormat,
	journalBlocksOf,
	type Log,
	type PlacedBlock,
	type Transaction,
	writeJournal,
} from '../helpers/journal-writer.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const BLOCK_BYTES = 1024;
const IMAGE_MIB = 8;
/** Free blocks in the image, which nothing but the log writes. */
const FIRST_TARGET = 6000;
const TARGETS = 64;

const plain: JournalFormat = { checksum: 'none', has64bit: false, hasAsyncCommit: false };
const formats: Record<string, JournalFormat> = {
	'no checksum, 32 bits': plain,
	'no checksum, 64 bits': { ...plain, has64bit: true },
	'checksum v1, 32 bits': { ...plain, checksum: 'v1' },
	'checksum v1, asynchronous': { ...plain, checksum: 'v1', hasAsyncCommit: true },
	'checksum v2, 32 bits': { ...plain, checksum: 'v2' },
	'checksum v2, 64 bits': { ...plain, checksum: 'v2', has64bit: true },
	'checksum v3, 32 bits': { ...plain, checksum: 'v3' },
	'checksum v3, 64 bits': { ...plain, checksum: 'v3', has64bit: true },
	'checksum v3, asynchronous': { ...plain, checksum: 'v3', has64bit: true, hasAsyncCommit: true },
};

const it = canMount && programs('mke2fs', 'e2fsck', 'debugfs') ? test : test.skip;

/** Metadata checksums make the kernel insist on v3, or turn it on: the other formats need an image without. */
async function emptyImage(directory: string, format: JournalFormat, ...more: string[]): Promise<string> {
	const features = format.checksum === 'v3' || format.checksum === 'v2' ? 'metadata_csum' : '^metadata_csum';
	const size = format.has64bit ? '64bit' : '^64bit';
	const journal = `size=${format.fastCommitBlocks === undefined ? 1 : 2}`;
	return makeImage(join(directory, 'image'), IMAGE_MIB, [
		...['-t', 'ext4', '-b', String(BLOCK_BYTES), '-J', journal, '-O', [features, size, ...more].join(',')],
	]);
}

/** The target blocks as Noonmark reads them, or the error's family. */
function readTargets(image: string): string[] | string {
	const device = FileDevice.open(image, 'read');
	try {
		const { device: replayed } = withJournal(device, readSuperblock(device));
		return Array.from({ length: TARGETS }, (_, i) => {
			const block = Buffer.alloc(BLOCK_BYTES);
			replayed.read((FIRST_TARGET + i) * BLOCK_BYTES, block);
			return block.toString('latin1');
		});
	} catch (error) {
		if (!(error instanceof NoonmarkError)) throw error;
		return error.family;
	} finally {
		device.close();
	}
}

function targetsInFile(image: string): string[] {
	const bytes = readFileSync(image);
	return Array.from({ length: TARGETS }, (_, i) =>
		bytes.toString('latin1', (FIRST_TARGET + i) * BLOCK_BYTES, (FIRST_TARGET + i + 1) * BLOCK_BYTES),
	);
}

/** The same after the kernel mounted a copy, or `corrupt` where it would not. */
async function kernelTargets(directory: string, image: string): Promise<string[] | string> {
	const copy = join(directory, 'kernel');
	copyFileSync(image, copy);
	try {
		await withKernelMount(copy, 'rw', async () => {});
	} catch (error) {
		if (!String(error).includes('mount')) throw error;
		return 'corrupt';
	}
	return targetsInFile(copy);
}

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

/** Three transactions with everything in them, then one byte changed. */
const threeTransactions: Log = {
	sequence: 10,
	transactions: [0, 1, 2].map((index) => ({
		writes: [0, 1, 2].map((i) => ({
			block: FIRST_TARGET + index + i,
			content: Buffer.alloc(BLOCK_BYTES, `block ${i} of transaction ${index} `),
		})),
		revokes: [FIRST_TARGET + 40 + index],
		isCommitted: true,
		timeSec: 1000 + index,
	})),
};

interface Damage {
	readonly kind: PlacedBlock['kind'];
	readonly transaction: number;
	readonly byte: number;
	readonly value: number;
}

const sameVerdict = async (t: ExecutionContext, format: JournalFormat, damage: Damage) => {
	const directory = temporaryDirectory(t);
	const image = await emptyImage(directory, format);
	const placed = await writeJournal(image, format, threeTransactions);
	const victim = placed.find(({ kind, transaction }) => kind === damage.kind && transaction === damage.transaction)!;
	editImage(image, (editor) =>
		editor.patch(victim.at * BLOCK_BYTES, BLOCK_BYTES, (bytes) => {
			bytes[damage.byte] = bytes[damage.byte]! ^ damage.value;
		}),
	);
	t.deepEqual(readTargets(image), await kernelTargets(directory, image), JSON.stringify(damage));
};

const places: Record<string, Omit<Damage, 'transaction'>> = {
	'descriptor: number of transaction': { kind: 'descriptor', byte: 11, value: 0x40 },
	'descriptor: a tag': { kind: 'descriptor', byte: 15, value: 0x01 },
	'descriptor: checksum': { kind: 'descriptor', byte: BLOCK_BYTES - 1, value: 0x01 },
	'logged block': { kind: 'data', byte: 500, value: 0xff },
	'revoke block: content': { kind: 'revoke', byte: 19, value: 0x01 },
	'revoke block: checksum': { kind: 'revoke', byte: BLOCK_BYTES - 2, value: 0x80 },
	'revoke block: size': { kind: 'revoke', byte: 13, value: 0x10 },
	'commit block: number of transaction': { kind: 'commit', byte: 11, value: 0x40 },
	'commit block: checksum': { kind: 'commit', byte: 16, value: 0x01 },
	'commit block: type': { kind: 'commit', byte: 7, value: 0x40 },
	'commit block: behind its header, as a torn one': { kind: 'commit', byte: 700, value: 0x40 },
};

for (const formatName of [
	'no checksum, 32 bits',
	'checksum v1, 32 bits',
	'checksum v2, 64 bits',
	'checksum v3, 64 bits',
	'checksum v3, asynchronous',
]) {
	it(`${formatName}: damage gets the kernel's verdict`, async (t) => {
		for (const place of Object.values(places)) {
			for (const transaction of [0, 2]) await sameVerdict(t, formats[formatName]!, { ...place, transaction });
		}
	});
}

/** By the place, the transactions that are harmed there. */
type Harms = Partial<Record<PlacedBlock['kind'], readonly number[]>>;
const HARMS: readonly Harms[] = [
	{ commit: [1] },
	{ commit: [1, 2] },
	{ commit: [1, 3] },
	{ commit: [2], descriptor: [3] },
	{ descriptor: [1] },
	{ data: [2] },
	{ revoke: [2] },
	{ commit: [2], revoke: [3] },
];
/** When four transactions were committed. What is older than the one before is the rest of an old log. */
const TIMES = {
	'at once': [1000, 1000, 1000, 1000],
	'the second before the first': [1000, 999, 1002, 1003],
	'the third before the second': [1000, 1001, 1000, 1003],
	'in the second 2^32 seconds': [2 ** 32 + 1, 2, 2 ** 32 + 2, 3],
};
/** A byte in each kind of block that its checksum covers, and nothing else notices. */
const HARMED_BYTES = { commit: 17, descriptor: BLOCK_BYTES - 1, data: 500, revoke: BLOCK_BYTES - 2 } as const;

/** The transactions whose blocks are there. */
const briefly = (targets: string[] | string) =>
	typeof targets === 'string'
		? targets
		: targets.flatMap((block) => /^transaction (\d)/.exec(block)?.[1] ?? []).join(' ');

for (const formatName of [
	'checksum v1, 32 bits',
	'checksum v1, asynchronous',
	'checksum v3, 64 bits',
	'checksum v3, asynchronous',
]) {
	it(`${formatName}: several harms at several times get the kernel's verdict`, async (t) => {
		const directory = temporaryDirectory(t);
		const format = formats[formatName]!;
		const image = await emptyImage(directory, format);
		const sound = readFileSync(image);
		const verdicts: object[] = [];
		for (const [when, times] of Object.entries(TIMES)) {
			for (const harms of HARMS) {
				writeFileSync(image, sound);
				const transactions = times.map((timeSec, index) => ({
					...threeTransactions.transactions[0]!,
					writes: [{ block: FIRST_TARGET + index, content: Buffer.alloc(BLOCK_BYTES, `transaction ${index} `) }],
					timeSec,
				}));
				const placed = await writeJournal(image, format, { sequence: 10, transactions });
				editImage(image, (editor) => {
					for (const { kind, transaction, at } of placed) {
						if (!harms[kind]?.includes(transaction)) continue;
						editor.patch(at * BLOCK_BYTES + HARMED_BYTES[kind], 1, (bytes) => bytes.writeUInt8(bytes[0]! ^ 1));
					}
				});
				const [ours, kernels] = [briefly(readTargets(image)), briefly(await kernelTargets(directory, image))];
				if (ours !== kernels) verdicts.push({ when, harms, ours, kernels });
			}
		}
		t.deepEqual(verdicts, []);
	});
}

/** Changes of a block of the log, whose checksum is right again then. */
const ODDITIES: readonly (readonly [PlacedBlock['kind'], (block: Buffer) => unknown])[] = [
	...[0, 16, 17, 24, 1020, 1021, 1024, 1025].map(
		(usedBytes) => ['revoke', (block: Buffer) => layout.revokeHeaderLayout.encode({ usedBytes }, block)] as const,
	),
	...[8191, 8192].map(
		(number) =>
			['descriptor', (block: Buffer) => block.writeUInt32BE(number, layout.blockHeaderLayout.sizeBytes)] as const,
	),
	['descriptor', (block) => layout.tag3Layout.encode({ blockHigh: 1 }, block, layout.blockHeaderLayout.sizeBytes)],
	['commit', (block) => layout.commitLayout.encode({ checksumType: 7, checksumSize: 9 }, block)],
	['commit', (block) => layout.commitLayout.encode({ checksumType: 1, checksumSize: 4, checksum: 0 }, block)],
	['commit', (block) => layout.commitLayout.encode({ checksumType: 0, checksumSize: 0, checksum: 0 }, block)],
];

for (const formatName of ['no checksum, 32 bits', 'checksum v1, 32 bits', 'checksum v3, 32 bits']) {
	it(`${formatName}: odd sizes and numbers get the kernel's verdict`, async (t) => {
		const directory = temporaryDirectory(t);
		const format = formats[formatName]!;
		const image = await emptyImage(directory, format);
		const sound = readFileSync(image);
		const [first] = await journalBlocksOf(image);
		const { uuid } = layout.journalSuperblockLayout.decode(sound, first! * BLOCK_BYTES);
		const seed = crc32c(0xffffffff, uuid);
		for (const [i, [kind, change]] of ODDITIES.entries()) {
			writeFileSync(image, sound);
			const placed = await writeJournal(image, format, threeTransactions);
			const { at } = placed.find((block) => block.kind === kind && block.transaction === 1)!;
			editImage(image, (editor) =>
				editor.patch(at * BLOCK_BYTES, BLOCK_BYTES, (block) => {
					change(block);
					if (format.checksum !== 'v3') return;
					const { at: field } = layout.commitLayout;
					if (kind === 'commit') block.writeUInt32BE(commitChecksum(seed, block), field.checksum);
					else block.writeUInt32BE(tailChecksum(seed, block), BLOCK_BYTES - 4);
				}),
			);
			const ours = readTargets(image);
			const kernels = await kernelTargets(directory, image);
			t.is(JSON.stringify(ours), JSON.stringify(kernels), `${kind}, change ${i}`);
		}
	});
}

const { SUPERBLOCK_V1, COMPAT_CHECKSUM, JOURNAL_INCOMPAT } = layout;
const WITH_V3 = JOURNAL_INCOMPAT.journal_incompat_revoke | JOURNAL_INCOMPAT.journal_checksum_v3;

/** Fields of the journal's superblock that are written over those of a sound log; its checksum is right but where it is one. */
const SUPERBLOCKS: readonly Parameters<typeof layout.journalSuperblockLayout.encode>[0][] = [
	{},
	{ magic: 0xc03b3999 },
	{ type: layout.COMMIT_BLOCK },
	{ blockSizeBytes: 2048 },
	{ blockCount: 1025 },
	{ blockCount: 900 },
	{ firstLogBlock: 0 },
	{ firstLogBlock: 2, startBlock: 2 },
	{ firstLogBlock: 5000 },
	{ startBlock: 0 },
	{ startBlock: 1023 },
	{ startBlock: 1024 },
	{ sequence: 9 },
	{ compat: COMPAT_CHECKSUM },
	{ incompat: WITH_V3 | 0x4000 },
	{ incompat: WITH_V3 | JOURNAL_INCOMPAT.journal_checksum_v2 },
	{ roCompat: 1 },
	{ checksumType: 1 },
	{ checksum: 1 },
];

it("a journal superblock that says something else gets the kernel's verdict", async (t) => {
	const directory = temporaryDirectory(t);
	const v3 = formats['checksum v3, 32 bits']!;
	for (const [format, fields, ...features] of [
		[plain, { type: SUPERBLOCK_V1 }] as const,
		[{ ...plain, has64bit: true }, { type: SUPERBLOCK_V1 }] as const,
		[plain, { type: SUPERBLOCK_V1 }, 'fast_commit'] as const,
		[plain, {}, 'fast_commit'] as const,
		[v3, { type: SUPERBLOCK_V1 }] as const,
		...SUPERBLOCKS.map((f) => [v3, f] as const),
	]) {
		const image = await emptyImage(directory, format, ...features);
		await writeJournal(image, format, threeTransactions);
		const [first] = await journalBlocksOf(image);
		editImage(image, (editor) =>
			editor.patch(first! * BLOCK_BYTES, BLOCK_BYTES, (block) => {
				layout.journalSuperblockLayout.encode(fields, block);
				layout.journalSuperblockLayout.encode({ checksum: fields.checksum ?? superblockChecksum(block) }, block);
			}),
		);
		const ours = readTargets(image);
		const kernels = await kernelTargets(directory, image);
		t.deepEqual(typeof ours === 'string' ? 'corrupt' : ours, kernels, JSON.stringify({ format, fields, features }));
	}
});

it("a journal whose inode is not as it should be gets the kernel's verdict", async (t) => {
	const directory = temporaryDirectory(t);
	const afterRequest = async (request: string) => {
		const image = await emptyImage(directory, plain);
		await writeJournal(image, plain, threeTransactions);
		await run('debugfs', ['-w', '-R', request, image]);
		return image;
	};
	for (const request of ['sif <8> links_count 0', 'sif <8> mode 040600', 'sif <8> size 0', 'punch <8> 900 900']) {
		const image = await afterRequest(request);
		t.deepEqual(briefly(readTargets(image)), briefly(await kernelTargets(directory, image)), request);
	}
	// The kernel takes a hole for the end of the log, and says that something is wrong with it.
	t.is(readTargets(await afterRequest('punch <8> 2 2')), 'corrupt');
});

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
