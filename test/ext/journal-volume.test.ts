/** Every block of a volume after the replay in memory, and after that of e2fsck and debugfs on copies. */
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { readSuperblock } from '../../src/ext/filesystem.ts';
import { journalState, withJournal } from '../../src/ext/journal.ts';
import { journalInVolume } from '../../src/ext/journal-place.ts';
import { writeJournal } from '../helpers/journal-writer.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const it = canMount && programs('mke2fs', 'tune2fs', 'e2fsck', 'debugfs') ? test : test.skip;
const MKFS = ['-t', 'ext4', '-J', 'size=4', '-O'];

/** Files synced one by one, written again and deleted, so that the log has revokes and blocks that it holds twice. */
const WORK = `
cd "$1"
for i in $(seq 40); do mkdir -p d$i; seq $((i * 40)) > d$i/f; sync d$i/f; done
for i in $(seq 1 3 40); do rm -r d$i; done
for i in $(seq 2 3 40); do seq 3000 > d$i/f; setfattr -n user.round -v $i d$i/f; sync d$i/f; done
mkdir last; echo last > last/file; sync last/file`;

/** The image as a power cut would leave it. */
async function cut(directory: string, image: string): Promise<string> {
	const copy = join(directory, 'cut');
	await withKernelMount(image, 'noatime,commit=300', async (mountPoint) => {
		await shell(WORK, [mountPoint]);
		copyFileSync(image, copy);
	});
	return copy;
}

/**
 * The numbers of the blocks that are not the same; without those of the two superblocks, where the tools make notes, and
 * those of the group descriptors, where e2fsck mends what the kernel writes late.
 */
async function differentBlocks(t: ExecutionContext, image: string, tool: string, ...args: string[]): Promise<number[]> {
	const copy = `${image}-${tool}`;
	copyFileSync(image, copy);
	const { code, stdout } = await run(tool, [...args, copy]);
	t.true(code! <= 1, `${tool}: ${stdout}`); // 1: e2fsck changed something
	const expected = readFileSync(copy);
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const superblock = readSuperblock(device);
	const { blockSizeBytes, blockCount, groupCount, descriptorsPerBlock } = superblock;
	const first = Math.floor(1024 / blockSizeBytes);
	const descriptors = Array.from({ length: Math.ceil(groupCount / descriptorsPerBlock) }, (_, i) => first + 1 + i);
	const journalBlock = journalInVolume(device, superblock).byteOffsetOf(0) / blockSizeBytes;
	const noted = [first, journalBlock, ...(tool === 'e2fsck' ? descriptors : [])];
	const replayed = withJournal(device, superblock);
	t.deepEqual(replayed.fastCommits, []);
	const found = Buffer.alloc(blockSizeBytes);
	const different: number[] = [];
	for (let block = 0; block < blockCount; block++) {
		replayed.device.read(block * blockSizeBytes, found);
		const isSame =
			expected.compare(found, 0, blockSizeBytes, block * blockSizeBytes, (block + 1) * blockSizeBytes) === 0;
		if (!isSame && !noted.includes(block)) different.push(block);
	}
	return different;
}

async function isReplayedAlike(t: ExecutionContext, image: string): Promise<void> {
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const state = journalState(device, readSuperblock(device));
	t.true(state.kind === 'needs-replay' && state.blockCount > 10, JSON.stringify(state));
	t.deepEqual(await differentBlocks(t, image, 'debugfs', '-w', '-R', 'journal_run'), [], 'debugfs');
	t.deepEqual(await differentBlocks(t, image, 'e2fsck', '-fy', '-E', 'journal_only'), [], 'e2fsck');
}

const written = test.macro(async (t, mkfs: readonly string[]) => {
	const directory = temporaryDirectory(t);
	await isReplayedAlike(t, await cut(directory, await makeImage(join(directory, 'image'), 32, mkfs)));
});
it('ext4', written, [...MKFS, 'metadata_csum']);
it('ext4 with blocks of 1 KiB and without checksums', written, ['-b', '1024', ...MKFS, '^metadata_csum']);
it('a journal that is mapped by block pointers', written, ['-t', 'ext3', '-J', 'size=4']);

it('a journal in pieces', async (t) => {
	const directory = temporaryDirectory(t);
	const image = await makeImage(join(directory, 'image'), 32, ['-t', 'ext4', '-b', '1024', '-O', '^has_journal']);
	await withKernelMount(image, 'noatime', (mountPoint) =>
		shell(
			'cd "$1"; seq 2000 | split -l 1 -a 4 - f; for f in f???[a-m]; do head -c 9000 /dev/zero > $f; done; head -c 99M /dev/zero > fill || true; rm f???[acegikm] ',
			[mountPoint],
		),
	);
	await runOk('tune2fs', ['-j', '-J', 'size=1', image]);
	const extents = (await runOk('debugfs', ['-R', 'dump_extents <8>', image])).toString().split('\n');
	t.true(extents.length > 50, `${extents.length}`);
	await withKernelMount(image, 'noatime', (mountPoint) => shell('rm "$1/fill"', [mountPoint]));
	await isReplayedAlike(t, await cut(directory, image));
});

it('blocks of 64 KiB, which this kernel cannot mount', async (t) => {
	const directory = temporaryDirectory(t);
	const image = await makeImage(join(directory, 'image'), 256, ['-t', 'ext4', '-b', '65536', '-J', 'size=64']);
	const random = new Random(20261125);
	t.log(`seed ${random.seed}`);
	const transactions = Array.from({ length: 12 }, (_, i) => ({
		writes: Array.from({ length: 5 }, (_, k) => ({
			block: 1500 + 5 * random.integer(20) + k,
			content: Buffer.alloc(65536, `transaction ${i} block ${k} `),
		})),
		revokes: [1500 + random.integer(100), 1500 + random.integer(100)],
		...{ isCommitted: true, timeSec: 1000 + i },
	}));
	const format = { checksum: 'v3', has64bit: true, hasAsyncCommit: false } as const;
	await writeJournal(image, format, { sequence: 3, startBlock: 1000, transactions });
	await isReplayedAlike(t, image);
});
