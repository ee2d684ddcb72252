import { join } from 'node:path';
import test from 'ava';
import { makeImage, populateImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { journalRanges, usedRanges } from '../../src/ext/used-map.ts';
import { journalBlocksOf } from '../helpers/journal-writer.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

/** The blocks that dumpe2fs lists as free are just those that are in no range. */
const asDumpe2fsSays = test.macro(async (t, mkfsArgs: readonly string[], sizeMiB: number, change?: string) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), sizeMiB, mkfsArgs);
	if (canMount) await populateImage(image);
	if (change) await runOk('debugfs', ['-w', '-R', change, image]);
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);

	const free: string[] = [];
	let position = 0;
	usedRanges(fs, (start, count) => {
		t.true(count > 0);
		if (start > position) free.push(rangeText(position, start - 1));
		position = start + count;
	});
	t.true(position <= fs.superblock.blockCount);
	if (position < fs.superblock.blockCount) free.push(rangeText(position, fs.superblock.blockCount - 1));
	t.deepEqual(joinRanges(free), joinRanges(await freeRanges(image, fs.superblock.blocksPerCluster)));
});

/** dumpe2fs names a cluster by its first block, at the end of a range too. */
async function freeRanges(image: string, blocksPerCluster: number): Promise<string[]> {
	const output = (await runOk('dumpe2fs', [image])).toString();
	const groups = output.slice(output.indexOf('\nGroup 0:'));
	const listed = [...groups.matchAll(/^ {2}Free blocks: (.*)$/gm)].flatMap(([, list]) => list!.split(', '));
	return listed.filter(Boolean).map((range) => {
		const [first, last = first] = range.split('-').map(Number) as [number, number?];
		return rangeText(first, last + blocksPerCluster - 1);
	});
}

const rangeText = (first: number, last: number) => (first === last ? `${first}` : `${first}-${last}`);

/** Ranges of neighbouring groups in one. */
function joinRanges(ranges: string[]): string[] {
	const joined: [number, number][] = [];
	for (const range of ranges) {
		const [first, last = first] = range.split('-').map(Number) as [number, number?];
		const previous = joined.at(-1);
		if (previous && previous[1] + 1 === first) previous[1] = last;
		else joined.push([first, last]);
	}
	return joined.map(([first, last]) => rangeText(first, last));
}

const it = programs('mke2fs', 'dumpe2fs') ? test : test.skip;
it('ext4, with groups whose bitmap was never written', asDumpe2fsSays, ['-t', 'ext4', '-b', '1024', '-g', '2048'], 64);
it('ext2: a boot block, no flags in the groups', asDumpe2fsSays, ['-t', 'ext2', '-b', '1024'], 32);
it(
	'without flex_bg: every group has its own tables',
	asDumpe2fsSays,
	['-t', 'ext4', '-O', '^flex_bg', '-g', '2048'],
	64,
);
it('uninit_bg', asDumpe2fsSays, ['-t', 'ext4', '-O', '^metadata_csum,uninit_bg', '-b', '1024', '-g', '1024'], 48);
it('checksums of 16 bits', asDumpe2fsSays, ['-t', 'ext4', '-O', '^64bit', '-b', '1024', '-g', '2048'], 32);
it(
	'groups that need not be a multiple of 32 blocks',
	asDumpe2fsSays,
	['-t', 'ext4', '-b', '1024', '-g', '1000', '-O', '^resize_inode'],
	16,
	'setb 5993 8', // the end of a group before one that begins with free blocks
);
it('flags that mean nothing without checksums', asDumpe2fsSays, ['-t', 'ext2', '-b', '1024'], 32, 'set_bg 1 flags 2');
it(
	'blocks beyond 2^32',
	asDumpe2fsSays,
	['-t', 'ext4', '-b', '1024', '-O', 'bigalloc,^resize_inode', '-C', '65536', '-N', '1100000'],
	9 << 20,
);
it('bigalloc', asDumpe2fsSays, ['-t', 'ext4', '-O', 'bigalloc', '-C', '16384'], 64);
it('bigalloc with blocks of 1 KiB', asDumpe2fsSays, ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '4096'], 32);
it('meta_bg', asDumpe2fsSays, ['-t', 'ext4', '-b', '1024', '-g', '1024', '-O', 'meta_bg,^resize_inode'], 64);

it('the blocks of the journal are those that debugfs lists', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 32, ['-t', 'ext3', '-b', '1024']);
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const blocks: number[] = [];
	journalRanges(ExtFileSystem.open(device), (start, count) => {
		for (let i = 0; i < count; i++) blocks.push(start + i);
	});
	const listed = await journalBlocksOf(image);
	const indirect = new Set(listed.filter((block) => !blocks.includes(block)));
	t.deepEqual(
		blocks,
		listed.filter((block) => !indirect.has(block)),
	);
	t.is(indirect.size, 1 + Math.ceil(blocks.length / 256) + 1);
});
