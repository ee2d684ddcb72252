/** Damage in a journal: what it costs, the kernel says. */
import { readFileSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { crc32c } from '../../../src/bytes/crc32c.ts';
import { commitChecksum, tailChecksum } from '../../../src/ext/journal-checksum.ts';
import { superblockChecksum } from '../../../src/ext/journal-file.ts';
import * as layout from '../../../src/ext/journal-layout.ts';
import { editImage } from '../../helpers/ext-edit.ts';
import { type JournalFormat, journalBlocksOf, type PlacedBlock, writeJournal } from '../../helpers/journal-writer.ts';
import {
	BLOCK_BYTES,
	emptyImage,
	FIRST_TARGET,
	formats,
	kernelTargets,
	plain,
	readTargets,
	threeTransactions,
} from '../../helpers/logged-volume.ts';
import { canMount, programs } from '../../helpers/requires.ts';
import { run } from '../../helpers/run.ts';
import { temporaryDirectory } from '../../helpers/temp.ts';

const it = canMount && programs('mke2fs', 'e2fsck', 'debugfs') ? test : test.skip;

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
