/**
 * Fast commits, made by the kernel. What its own replay makes of them is no oracle (it loses files that were synced), and
 * is not asked for: an image with pending fast commits is never mounted. e2fsck gives up on all but simple ones.
 */
import { createHash } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { recordLayout } from '../../src/ext/fast-commit-layout.ts';
import { ExtFileSystem, readSuperblock } from '../../src/ext/filesystem.ts';
import { journalState } from '../../src/ext/journal.ts';
import { JournalFile } from '../../src/ext/journal-file.ts';
import { blockHeaderLayout, JOURNAL_MAGIC } from '../../src/ext/journal-layout.ts';
import { journalInVolume } from '../../src/ext/journal-place.ts';
import { FLAG_INLINE_DATA } from '../../src/ext/layout.ts';
import { usedRanges } from '../../src/ext/used-map.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { writeFastCommit } from '../helpers/fast-commit-writer.ts';
import { copyWhole, cutWithFastCommits } from '../helpers/fast-commits.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import {
	contentOf,
	inodeAt,
	listDirectory,
	type TreeEntry,
	treeDifferences,
	treeOfDirectory,
	treeOfFileSystem,
} from '../helpers/tree.ts';

const it = canMount && programs('mke2fs', 'python3', 'setfattr') ? test : test.skip;
const SEED = 20261125;
const mkfs = (features: string) => ['-t', 'ext4', '-J', 'size=8,fast_commit_size=2048', '-O', `fast_commit${features}`];

function openVolume(t: ExecutionContext, image: string) {
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	return { device, superblock: readSuperblock(device), fs: ExtFileSystem.open(device) };
}

/** Of directories, times and sizes are not logged. */
const logged = (tree: readonly TreeEntry[]): TreeEntry[] =>
	tree.map((entry) => (entry.mode.startsWith('4') ? { ...entry, times: NO_TIMES, sizeBytes: 0, blocks512: 0 } : entry));
const NO_TIMES = { atime: '', mtime: '', ctime: '' };

/** The blocks that hold the content of files. */
function dataBlocks(fs: ExtFileSystem, tree: readonly TreeEntry[]): number[] {
	const { blockSizeBytes } = fs.superblock;
	const files = tree.filter(({ data }) => data).map(({ inode }) => fs.readInode(inode));
	return files
		.filter(({ flags }) => !(flags & FLAG_INLINE_DATA))
		.flatMap((file) => {
			const count = Math.ceil(file.sizeBytes / blockSizeBytes);
			return Array.from({ length: count }, (_, fileBlock) => fs.files.runAt(file, fileBlock).block);
		})
		.filter((block) => block !== 0);
}

const ATTEMPTS_MAX = 5;

/**
 * Has `make` cut a volume, and opens the cut, which has so many fast commits at least. Whoever calls sync(2) on this
 * machine makes a transaction of them: then it is done again.
 */
async function withFastCommits(
	t: ExecutionContext,
	leastCount: number,
	make: (image: string, cut: string) => Promise<readonly TreeEntry[]>,
) {
	for (let attempt = 1; ; attempt++) {
		const directory = temporaryDirectory(t);
		const [volume, cut] = [join(directory, 'image'), join(directory, 'cut')];
		const tree = await make(volume, cut);
		const opened = openVolume(t, cut);
		const state = journalState(opened.device, opened.superblock);
		if (state.kind === 'needs-replay' && state.fastCommitCount >= leastCount) return { ...opened, volume, cut, tree };
		const found = `fewer than ${leastCount} fast commits: ${JSON.stringify(state)}`;
		if (attempt === ATTEMPTS_MAX) throw new Error(found);
		t.log(found);
	}
}

const isSynced = test.macro(async (t, mkfsArgs: readonly string[], smallestBytes?: number) => {
	const work = { seed: SEED, steps: 100, smallestBytes: smallestBytes ?? 0 };
	t.log(`seed ${work.seed}`);
	const { volume, fs, tree } = await withFastCommits(t, 11, async (image, cut) => {
		await makeImage(image, 64, mkfsArgs);
		return (await cutWithFastCommits(image, cut, work)).tree;
	});
	t.deepEqual(logged(treeOfFileSystem(fs)), logged(tree));

	const used = new Set<number>();
	usedRanges(fs, (start, count) => {
		for (let block = start; block < start + count; block++) used.add(block);
	});
	const unmounted = dataBlocks(openVolume(t, volume).fs, tree);
	t.true(unmounted.length > 100);
	t.deepEqual(
		unmounted.filter((block) => !used.has(block)),
		[],
		'blocks that the kernel filled count as used',
	);
});

it('what was synced is there: ext4 as mke2fs makes it', isSynced, mkfs(''));
it('what was synced is there: block pointers', isSynced, mkfs(',^extent,^64bit'));
it('what was synced is there: no checksums, inodes of 128 bytes', isSynced, [
	...mkfs(',^metadata_csum'),
	...['-I', '128', '-b', '4096'],
]);
it('what was synced is there: clusters', isSynced, [...mkfs(',bigalloc'), '-C', '16384']);
// A file that outgrows its inode has its first block in the log, where nothing revokes it: the kernel's own replay, too,
// would put it over what was written there later. So files stay inside their inodes or never were.
it('what was synced is there: inline data', isSynced, mkfs(',inline_data'), 200);

/** Where in the log the latest block with a header is. */
function headOfLog(image: string): number {
	const device = FileDevice.open(image, 'read');
	try {
		const { place, superblock } = new JournalFile(journalInVolume(device, readSuperblock(device)));
		const [block, latest] = [Buffer.alloc(place.blockSizeBytes), { sequence: 0, at: 0 }];
		for (let at = superblock.logStart; at < superblock.logEnd; at++) {
			device.read(place.byteOffsetOf(at), block);
			const { magic, sequence } = blockHeaderLayout.decode(block);
			if (magic === JOURNAL_MAGIC && sequence >= latest.sequence) Object.assign(latest, { sequence, at });
		}
		return latest.at;
	} finally {
		device.close();
	}
}

/** New directories, and an attribute, for which the next sync makes a transaction. */
const DIRECTORIES = 'cd "$1"; mkdir "$2"-{1..80}; setfattr -n user.a -v "$2" last; sync last';

it('what was synced is there: the log wraps round before the fast commits', async (t) => {
	const mkfsArgs = ['-t', 'ext4', '-b', '1024', '-J', 'size=2,fast_commit_size=512', '-O', 'fast_commit'];
	const { device, superblock, fs, cut, tree } = await withFastCommits(t, 1, async (image, to) => {
		await makeImage(image, 32, mkfsArgs);
		return withKernelMount(image, 'noatime,commit=300', async (mountPoint) => {
			await shell('echo >"$1/last"', [mountPoint]);
			const end = 2048; // of the log: the blocks for fast commits come on top
			for (let i = 0; headOfLog(image) < end - 300; i++)
				await shell(`${DIRECTORIES}; sync -f .`, [mountPoint, `before-${i}`]);
			for (let i = 0; i < 3; i++) await shell(DIRECTORIES, [mountPoint, `round-${i}`]);
			await shell('cd "$1"; for i in $(seq 20); do echo "$i" >>last; sync last; done', [mountPoint]);
			await copyWhole(image, to);
			return treeOfDirectory(mountPoint);
		});
	});
	const { startBlock } = new JournalFile(journalInVolume(device, superblock)).superblock;
	t.true(headOfLog(cut) < startBlock, `the log goes from ${startBlock} to ${headOfLog(cut)}`);
	t.deepEqual(treeDifferences(logged(treeOfFileSystem(fs)), logged(tree)), []);
});

it('after every sync what was synced is there, round and round a small place for fast commits', async (t) => {
	const directory = temporaryDirectory(t);
	const mkfsArgs = ['-t', 'ext4', '-b', '1024', '-J', 'size=1,fast_commit_size=6', '-O', 'fast_commit'];
	const image = await makeImage(join(directory, 'image'), 16, mkfsArgs);
	const [cut, expected, found, counts] = [join(directory, 'cut'), [] as string[], [] as string[], new Set<number>()];
	await withKernelMount(image, 'noatime,commit=300', async (mountPoint) => {
		await shell('cd "$1"; echo >lines; sync -f .', [mountPoint]);
		for (let i = 0; i < 20; i++) {
			// Now longer, now shorter: what an older fast commit says would show.
			await shell('cd "$1"; seq "$2" >lines; sync lines', [mountPoint, String(i % 3 === 2 ? 1 : 400 * (i + 1))]);
			await copyWhole(image, cut);
			expected.push((await shell('sha256sum <"$1/lines"', [mountPoint])).toString().slice(0, 64));
			const { device, superblock, fs } = openVolume(t, cut);
			const state = journalState(device, superblock);
			if (state.kind === 'needs-replay') counts.add(state.fastCommitCount);
			found.push(
				createHash('sha256')
					.update(contentOf(fs, inodeAt(fs, 'lines')))
					.digest('hex'),
			);
		}
	});
	t.log(`fast commits at the cuts: ${[...counts].join(' ')}`);
	t.deepEqual(found, expected);
});

it('a file whose number another one had has nothing of that one', async (t) => {
	const script = `
import os, sys
os.chdir(sys.argv[1])
def write(path, at, size):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, path.encode() * size, at)
    os.fsync(fd)
    os.close(fd)
    return os.stat(path).st_ino
first = write('first', 0, 5000)
os.unlink('first')
if write('second', 20000, 1) != first: raise Exception('another number')`;
	const { fs, tree } = await withFastCommits(t, 2, async (image, cut) => {
		await makeImage(image, 32, [...mkfs(''), '-b', '1024']);
		return withKernelMount(image, 'noatime,commit=300', async (mountPoint) => {
			await shell('cd "$1"; echo >file; sync -f .', [mountPoint]);
			await runOk('python3', ['-c', script, mountPoint]);
			await copyWhole(image, cut);
			return treeOfDirectory(mountPoint);
		});
	});
	t.deepEqual(treeDifferences(logged(treeOfFileSystem(fs)), logged(tree)), []);
});

/** As fs/ext4/namei.c, __ext4_unlink; e2fsck gives up. */
it('a name that another file has by now is not taken away', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 32, [...mkfs(''), '-b', '1024']);
	await runOk('debugfs', ['-w', '-f', '-', image], { input: 'mkdir dir\ncd dir\nmknod a p\nmknod b p\nmknod c p\n' });
	const before = openVolume(t, image).fs;
	const inodeOf = (path: string) => inodeAt(before, path).number;
	const directory = inodeOf('dir');
	await writeFastCommit(image, [
		{ kind: 'unlink', directory, inode: inodeOf('dir/b'), name: 'a' },
		{ kind: 'unlink', directory, inode: inodeOf('dir/c'), name: 'c' },
		{ kind: 'link', directory, inode: inodeOf('dir/a'), name: 'd' },
		{ kind: 'unlink', directory, inode: inodeOf('dir/a'), name: 'none' },
	]);
	const { fs } = openVolume(t, image);
	const [a, b] = [inodeOf('dir/a'), inodeOf('dir/b')];
	const expected = { '.': directory, '..': 2, a, b, d: a };
	t.deepEqual(Object.fromEntries(listDirectory(fs, inodeAt(fs, 'dir'))), expected);
});

const LINES = 6;
/** One file that is synced at every line: what has `n` of its fast commits has `n` lines. */
async function linesImage(t: ExecutionContext): Promise<string> {
	const { cut } = await withFastCommits(t, LINES, async (image, to) => {
		await makeImage(image, 32, [...mkfs(''), '-b', '1024']);
		return withKernelMount(image, 'noatime,commit=300', async (mountPoint) => {
			const script = 'cd "$1"; echo >lines; sync -f .; for i in $(seq "$2"); do echo "$i" >>lines; sync lines; done';
			await shell(script, [mountPoint, String(LINES)]);
			await copyWhole(image, to);
			return [];
		});
	});
	return cut;
}

/** How many of the fast commits count, or the code of the error. Each has one block of the journal. */
function lineCount(t: ExecutionContext, image: string): number | string {
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	try {
		const fs = ExtFileSystem.open(device);
		return contentOf(fs, inodeAt(fs, 'lines')).toString().split('\n').length - 2;
	} catch (error) {
		return (error as { code: string }).code;
	}
}

/** What is wrong with a fast commit, given its block; and what that is at the first one, and at a later one. */
const damages: Record<string, { change(block: Buffer, tailAt: number): void; first: number | string; later: number }> =
	{
		'a record of an unknown kind': { ...broken((block, at) => block.writeUInt16LE(10, at)) },
		'a record past the end of its block': { ...broken((block, at) => block.writeUInt16LE(2000, at + 2)) },
		'a tail that is too short': { ...broken((block, at) => block.writeUInt16LE(4, at + 2)) },
		'a tail of another transaction': { ...broken((block, at) => block.writeUInt8(99, at + 4)) },
		'a wrong checksum': { ...broken((block, at) => block.writeUInt8(block[at + 8]! ^ 1, at + 8)) },
		'a changed record': { ...broken((block, at) => block.writeUInt8(block[at - 8]! ^ 1, at - 8)) },
		'a block of zeros': { change: (block) => block.fill(0), first: 0, later: 3 },
		'a head of another transaction': { change: (block) => block.writeUInt8(99, 8), first: 0, later: 3 },
		'a head with unknown features': {
			change: (block) => block.writeUInt8(1, 4),
			first: 'fast-commit-features',
			later: 3,
		},
	};
function broken(change: (block: Buffer, tailAt: number) => void) {
	return { change, first: 'journal-fast-commit', later: 3 };
}

function tailOf(block: Buffer): number {
	let at = 0;
	while (recordLayout.decode(block, at).tag !== 8)
		at += recordLayout.sizeBytes + recordLayout.decode(block, at).lengthBytes;
	return at;
}

it('damage of a fast commit: the first makes the volume unreadable as for the kernel, a later one ends them', async (t) => {
	const directory = temporaryDirectory(t);
	const image = await linesImage(t);
	t.is(lineCount(t, image), LINES);
	const { device, superblock } = openVolume(t, image);
	const place = journalInVolume(device, superblock);
	const { fastCommitStart } = new JournalFile(place).superblock;
	const damaged = join(directory, 'damaged');
	for (const [what, { change, first, later }] of Object.entries(damages)) {
		for (const [index, expected] of [[0, first] as const, [3, later] as const]) {
			if (index > 0 && what.startsWith('a head')) continue; // only the first has one
			copyFileSync(image, damaged);
			editImage(damaged, (editor) =>
				editor.patch(place.byteOffsetOf(fastCommitStart + index), place.blockSizeBytes, (block) =>
					change(block, tailOf(block)),
				),
			);
			t.is(lineCount(t, damaged), expected, `${what}, at fast commit ${index}`);
			if (typeof expected !== 'number') continue;
			await run('e2fsck', ['-fy', damaged]);
			t.is(lineCount(t, damaged), expected, `${what}, at fast commit ${index}: e2fsck`);
		}
	}
});
