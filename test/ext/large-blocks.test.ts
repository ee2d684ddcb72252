/**
 * Blocks larger than a page, which the kernel here does not mount: images that mke2fs filled from a directory, compared
 * with that directory.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, type TreeEntry, treeDifferences, treeOfDirectory, treeOfFileSystem } from '../helpers/tree.ts';

/** No holes: mke2fs leaves out blocks of zeros, wherever the source has its holes. */
const MAKE_SOURCE = `
import os, stat, sys
os.chdir(sys.argv[1])
def write(path, content):
    with open(path, 'wb') as file: file.write(content)
os.makedirs('deep/er/est')
os.mkdir('sizes')
for size in [0, 1, 60, 61, 1000, 8191, 8192, 8193, 16384, 65535, 65536, 65537, 300000, 1500000]:
    write('sizes/%d' % size, (b'%d bytes of content, ' % size * (size // 16 + 1))[:size])
os.mkdir('many')
write('linked', b'linked')
for i in range(700): os.link('linked', 'many/%s-%d' % ('n' * 230, i))
for length in [1, 59, 60, 500, 1000]: os.symlink('t' * length, 'symlink-%d' % length)
os.mkfifo('fifo')
os.mknod('null', stat.S_IFCHR | 0o600, os.makedev(1, 3))
os.chown('sizes/60', 100000, 3000000)
os.chmod('sizes/61', 0o4711)
os.setxattr('sizes/1', 'user.small', b'value')
os.setxattr('sizes/1', 'user.large', b'v' * 900)
`;

/** What mke2fs carries over, and only a reader can get wrong. */
function carriedOver(tree: readonly TreeEntry[]): TreeEntry[] {
	return tree
		.filter(({ path }) => path !== 'lost+found')
		.map((entry) => ({
			...entry,
			...{ inode: 0, blocks512: 0, times: { atime: '', mtime: '', ctime: '' } },
			...(/^4/.test(entry.mode) ? { sizeBytes: 0, links: 0 } : {}),
			...(entry.path === '.' ? { mode: '' } : {}),
		}));
}

const likeItsSource = test.macro(async (t, mkfsArgs: readonly string[]) => {
	const directory = temporaryDirectory(t);
	const source = join(directory, 'source');
	mkdirSync(source);
	await runOk('python3', ['-c', MAKE_SOURCE, source]);
	const image = join(directory, 'image');
	await makeImage(image, 160, [...mkfsArgs, '-d', source]);
	// mke2fs makes no index.
	const { code, stdout } = await run('e2fsck', ['-fyD', image]);
	t.true(code === 0 || code === 1, stdout.toString());
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);
	const tree = await treeOfDirectory(source);
	t.true(tree.length > 700);
	t.deepEqual(treeDifferences(carriedOver(treeOfFileSystem(fs)), carriedOver(tree)), []);
	for (const { path, sizeBytes, mode } of tree) {
		const inode = inodeAt(fs, path);
		if (!/^4/.test(mode)) t.is(inode.sizeBytes, sizeBytes, path);
	}
	t.is((inodeAt(fs, 'many').flags & 0x1000) !== 0, fs.superblock.features.has('dir_index'));
	t.true(fs.statfs().freeBlocks > 0);
});

const it = canMount && programs('mke2fs', 'e2fsck', 'python3') ? test : test.skip;
for (const kibibytes of [8, 16, 32, 64]) {
	const blocks = ['-b', String(kibibytes << 10)];
	it(`ext4, ${kibibytes} KiB`, likeItsSource, ['-t', 'ext4', ...blocks]);
	it(`ext2, ${kibibytes} KiB`, likeItsSource, ['-t', 'ext2', ...blocks]);
}
it('ext4, 64 KiB, inline data', likeItsSource, ['-t', 'ext4', '-b', '65536', '-O', 'inline_data']);
it('ext4, 16 KiB, clusters', likeItsSource, ['-t', 'ext4', '-b', '16384', '-O', 'bigalloc', '-C', '65536']);
it('ext4, 8 KiB, no index', likeItsSource, ['-t', 'ext4', '-b', '8192', '-O', '^dir_index,^metadata_csum']);

it('free space in blocks of 64 KiB, as dumpe2fs tells it', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', '65536', '-N', '100000'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 6 << 10, mkfs);
	const header = (await runOk('dumpe2fs', ['-h', image])).toString();
	const told = (label: string) => Number(new RegExp(`^${label}: +(\\d+)$`, 'm').exec(header)![1]);
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const { freeBlocks, freeFiles } = ExtFileSystem.open(device).statfs();
	t.deepEqual([freeBlocks, freeFiles], [told('Free blocks'), told('Free inodes')]);
});
