import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem, readSuperblock } from '../../src/ext/filesystem.ts';
import { type JournalState, journalState } from '../../src/ext/journal.ts';
import { blockHeaderLayout, revokeHeaderLayout, TAG_SAME_UUID } from '../../src/ext/journal-layout.ts';
import { groupDescriptorLayout, superblockLayout } from '../../src/ext/layout.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { uncleanWithExternalJournal } from '../helpers/external-journal.ts';
import { journalBlocksOf, type Log, writeJournal } from '../helpers/journal-writer.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { statfsOfDirectory, treeOfDirectory, treeOfFileSystem } from '../helpers/tree.ts';

const it = canMount && programs('mke2fs', 'debugfs', 'losetup') ? test : test.skip;
const FORMAT = { checksum: 'v3', has64bit: true, hasAsyncCommit: false } as const;
const BLOCK_BYTES = 1024;

const smallImage = (directory: string) =>
	makeImage(join(directory, 'image'), 8, ['-t', 'ext4', '-b', String(BLOCK_BYTES), '-J', 'size=1']);

function openDevice(t: ExecutionContext, path: string): FileDevice {
	const device = FileDevice.open(path, 'read');
	t.teardown(() => device.close());
	return device;
}

function stateOf(t: ExecutionContext, image: string): JournalState {
	const device = openDevice(t, image);
	return journalState(device, readSuperblock(device));
}

const block = (number: number) => ({ block: number, content: Buffer.alloc(BLOCK_BYTES, 1) });
const transaction = (...numbers: number[]) => ({
	...{ writes: numbers.map(block), revokes: [], isCommitted: true, timeSec: 1000 },
});
/** The numbers go round at 2^32; one block is written twice, and the last transaction is not committed. */
const LOG: Log = {
	sequence: 0xffffffff,
	transactions: [transaction(6000, 6001), transaction(6001, 6002), { ...transaction(6003), isCommitted: false }],
};

it('the state of a journal: none, clean, to be replayed, damaged', async (t) => {
	const directory = temporaryDirectory(t);
	t.deepEqual(stateOf(t, await makeImage(join(directory, 'image'), 8, ['-t', 'ext2'])), { kind: 'none' });
	const image = await smallImage(directory);
	t.deepEqual(stateOf(t, image), { kind: 'clean' });

	const placed = await writeJournal(image, FORMAT, LOG);
	const pending = { kind: 'needs-replay', firstSequence: 0xffffffff, endSequence: 1, transactionCount: 2 } as const;
	t.deepEqual(stateOf(t, image), { ...pending, blockCount: 3, fastCommitCount: 0 });

	const bytes = readFileSync(image);
	bytes[placed.find(({ kind }) => kind === 'data')!.at * BLOCK_BYTES] = 0xff;
	writeFileSync(image, bytes);
	const message = 'journal: transaction 4294967295: its copy of block 6000 has a wrong checksum';
	t.deepEqual(stateOf(t, image), {
		...{ kind: 'damaged', error: { family: 'corrupt', code: 'journal-checksum', message } },
	});
});

const OLD_FORMAT = { checksum: 'none', has64bit: false, hasAsyncCommit: false } as const;

it('a log of descriptors that skip round and round is damaged, and is not followed for ever', async (t) => {
	const image = await smallImage(temporaryDirectory(t));
	const placed = await writeJournal(image, OLD_FORMAT, { sequence: 7, transactions: [transaction(6000)] });
	const blocks = await journalBlocksOf(image);
	const bytes = readFileSync(image);
	const first = placed.find(({ kind }) => kind === 'descriptor')!.at * BLOCK_BYTES;
	const descriptor = Buffer.from(bytes.subarray(first, first + BLOCK_BYTES));
	// As many tags as fit, none of which is the last.
	for (let at = blockHeaderLayout.sizeBytes; at + 8 <= BLOCK_BYTES; at += 8) {
		descriptor.writeUInt32BE(6000, at);
		descriptor.writeUInt32BE(TAG_SAME_UUID, at + 4);
	}
	for (const block of blocks.slice(1)) descriptor.copy(bytes, block * BLOCK_BYTES);
	writeFileSync(image, bytes);
	t.like(stateOf(t, image), { kind: 'damaged', error: { code: 'journal-loop' } });
});

it('a revoke block that says it is longer than a block', async (t) => {
	const image = await smallImage(temporaryDirectory(t));
	const revoking = { ...transaction(6000), revokes: [6001] };
	const placed = await writeJournal(image, OLD_FORMAT, { sequence: 7, transactions: [revoking, transaction(6002)] });
	const bytes = readFileSync(image);
	const revoke = placed.find(({ kind }) => kind === 'revoke')!.at * BLOCK_BYTES;
	bytes.writeUInt32BE(BLOCK_BYTES + 4, revoke + revokeHeaderLayout.at.usedBytes);
	writeFileSync(image, bytes);
	t.like(stateOf(t, image), { kind: 'damaged', error: { code: 'journal-revoke' } });
	await t.throwsAsync(withKernelMount(image, 'ro', async () => {}));
});

it('a superblock and descriptors that are in the log are those that count', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', String(BLOCK_BYTES), '-J', 'size=1', '-O', '^metadata_csum'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, mkfs);
	const bytes = readFileSync(image);
	const logged = (number: number) => Buffer.from(bytes.subarray(number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES));
	const [superblock, descriptors] = [logged(1), logged(2)];
	superblockLayout.encode({ reservedBlocksLow: 100 }, superblock);
	groupDescriptorLayout.encode({ freeClustersLow: 1000 }, descriptors);
	const writes = [
		{ block: 1, content: superblock },
		{ block: 2, content: descriptors },
	];
	await writeJournal(image, OLD_FORMAT, { sequence: 7, transactions: [{ ...transaction(), writes }] });
	const device = openDevice(t, image);
	const [shown, onDisk] = [true, false].map((replayJournal) => ExtFileSystem.open(device, { replayJournal }).statfs());
	t.true(shown!.freeBlocks < onDisk!.freeBlocks && shown!.availableBlocks < onDisk!.availableBlocks);
	t.deepEqual(shown, await withKernelMount(image, 'noatime', statfsOfDirectory));
});

for (const blockSizeBytes of [1024, 4096]) {
	it(`a journal on another device, blocks of ${blockSizeBytes}: replayed where it is given, else refused by name`, async (t) => {
		const { image, journal, tree } = await uncleanWithExternalJournal(t, blockSizeBytes);
		const [device, journalDevice] = [openDevice(t, image), openDevice(t, journal)];
		t.deepEqual(treeOfFileSystem(ExtFileSystem.open(device, { journalDevice })), tree);
		t.throws(() => ExtFileSystem.open(device), { code: 'external-journal' });
		t.throws(() => ExtFileSystem.open(device, { journalDevice: device }), { code: 'external-journal' });
		t.is(journalState(device, readSuperblock(device)).kind, 'unsupported');

		editImage(journal, (editor) => editor.setSuperblock({ logBlockSize: 3 }));
		t.throws(() => ExtFileSystem.open(device, { journalDevice }), { message: /blocks of 2\^13/ });
		editImage(journal, (editor) => editor.setSuperblock({ uuid: Buffer.alloc(16, 7) }));
		t.throws(() => ExtFileSystem.open(device, { journalDevice }), { message: /is the journal 0707/ });
	});
}

it('without replay a volume is shown as it lies on the disk, as the kernel does with noload', async (t) => {
	const directory = temporaryDirectory(t);
	const image = await makeImage(join(directory, 'image'), 16, ['-t', 'ext4']);
	const copy = join(directory, 'copy');
	await withKernelMount(image, 'noatime', async (mountPoint) => {
		await shell('cd "$1"; seq 1000 >a; sync a', [mountPoint]);
		copyFileSync(image, copy);
	});
	const device = openDevice(t, copy);
	const shown = treeOfFileSystem(ExtFileSystem.open(device, { replayJournal: false }));
	const replayed = treeOfFileSystem(ExtFileSystem.open(device));
	t.true(replayed.some(({ path }) => path === 'a'));
	t.deepEqual(shown, await withKernelMount(copy, 'ro,noload', treeOfDirectory));
	t.false(shown.some(({ path }) => path === 'a'));
});
