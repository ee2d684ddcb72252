import { copyFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { buildImage } from '../../images/matrix.ts';
import { makeImage, populateImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { contentRanges } from '../../src/ext/content-ranges.ts';
import { STATE_ERRORS, STATE_VALID } from '../../src/ext/layout.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { type TreeEntry, treeOfDirectory } from '../helpers/tree.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'tune2fs', 'debugfs', 'setfattr', 'python3');
const test = canRun ? anyTest.serial : anyTest.serial.skip;

const NEEDS_RECOVERY = 0x4;

type Range = readonly [start: number, end: number];

function rangesOf(image: string, isFrozen = false): Range[] {
	const device = FileDevice.open(image, 'read');
	try {
		const ranges: Range[] = [];
		contentRanges(device, isFrozen, (start, length) => ranges.push([start, start + length]));
		return ranges;
	} finally {
		device.close();
	}
}

const bytesIn = (ranges: readonly Range[]) => ranges.reduce((sum, [start, end]) => sum + end - start, 0);

/** A copy of an image whose bytes are random outside the ranges, which ascend. */
function scrambled(image: string, ranges: readonly Range[]): string {
	const path = `${image}.scrambled`;
	copyFileSync(image, path);
	const device = FileDevice.open(path, 'write');
	const noise = new Random(4711).bytes(1 << 20);
	let at = 0;
	for (const [start, end] of [...ranges, [device.sizeBytes, device.sizeBytes] as const]) {
		for (; at < start; at += noise.length) device.write(at, noise.subarray(0, Math.min(noise.length, start - at)));
		at = end;
	}
	device.close();
	return path;
}

/** What the kernel and e2fsck see of an image; the kernel replays its journal, so the image is changed. */
async function seen(image: string): Promise<{ tree: TreeEntry[]; complaints: string }> {
	await withKernelMount(image, 'noatime', async () => {});
	const tree = await withKernelMount(image, 'ro', (mountPoint) => treeOfDirectory(mountPoint));
	const check = await run('e2fsck', ['-fn', image]);
	return { tree, complaints: check.code === 0 ? '' : check.stdout.toString() };
}

for (const name of ['ext2, 1 KiB', 'ext3, dirty, data journaled', 'ext4, dirty, with a file deleted but open']) {
	test(`what is not visited means nothing to the kernel: ${name}`, async (t) => {
		const { path } = await buildImage(name, join(temporaryDirectory(t), 'image'));
		const ranges = rangesOf(path);
		t.true(bytesIn(ranges) < (3 / 4) * FileDevice.open(path, 'read').sizeBytes);
		const copy = scrambled(path, ranges);
		const [found, expected] = [await seen(copy), await seen(path)];
		t.is(found.complaints, '');
		t.deepEqual(found.tree, expected.tree);
	});
}

for (const [name, sizeMiB, ...mkfsArgs] of [
	['groups whose bitmap was never written', 200, '-t', 'ext4'],
	['bigalloc', 64, '-t', 'ext4', '-O', 'bigalloc', '-C', '16384'],
	['uninit_bg', 48, '-t', 'ext4', '-O', '^metadata_csum,uninit_bg', '-b', '1024', '-g', '1024'],
] as const) {
	test(`what is not visited means nothing to the kernel: ${name}`, async (t) => {
		const image = await makeImage(join(temporaryDirectory(t), 'image'), sizeMiB, mkfsArgs);
		await populateImage(image);
		const ranges = rangesOf(image);
		const copy = scrambled(image, ranges);
		const [found, expected] = [await seen(copy), await seen(image)];
		t.is(found.complaints, '');
		t.deepEqual(found.tree, expected.tree);
	});
}

test('a range that is left out is missed', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 64, ['-t', 'ext4', '-O', '^metadata_csum']);
	await populateImage(image);
	const ranges = rangesOf(image);
	const largest = ranges.reduce((a, b) => (b[1] - b[0] > a[1] - a[0] ? b : a));
	const copy = scrambled(
		image,
		ranges.filter((range) => range !== largest),
	);
	t.not((await run('e2fsck', ['-fn', copy])).code, 0);
});

test('the journal is left out, but for its superblock, where there is nothing to replay', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 128, [
		'-t',
		'ext4',
		'-b',
		'4096',
		'-J',
		'size=16',
	]);
	const clean = rangesOf(image);
	editImage(image, (editor) => editor.setSuperblock({ incompat: editor.superblock().incompat | NEEDS_RECOVERY }));
	t.is(bytesIn(rangesOf(image)) - bytesIn(clean), (16 << 20) - 4096);
});

test('the whole volume is visited where the bitmaps may not be true', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, ['-t', 'ext2']);
	const whole = [[0, 16 << 20]];
	editImage(image, (editor) => editor.setSuperblock({ state: 0 }));
	t.deepEqual(rangesOf(image), whole, 'in use when the copy was made, without a journal');
	t.notDeepEqual(rangesOf(image, true), whole, 'but frozen');
	editImage(image, (editor) => editor.setSuperblock({ state: STATE_VALID | STATE_ERRORS }));
	t.deepEqual(rangesOf(image, true), whole, 'with errors');
});

test('what lies behind the file system is visited', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, ['-t', 'ext4']);
	truncateSync(image, 20 << 20);
	t.deepEqual(rangesOf(image).at(-1), [16 << 20, 20 << 20]);
});

for (const [name, sizeMiB, ...mkfsArgs] of [
	['groups whose bitmap was never written', 96, '-t', 'ext4', '-b', '1024', '-g', '1024'],
	['without flex_bg and checksums', 48, '-t', 'ext2', '-b', '1024', '-g', '1024'],
	['bigalloc', 300, '-t', 'ext4', '-O', 'bigalloc', '-b', '1024', '-C', '4096', '-g', '2048'],
	['another geometry after a resize', 32, '-t', 'ext4', '-b', '1024', '-g', '1024'],
] as const) {
	test(`what is new beside a state before, and that state, is all there is: ${name}`, async (t) => {
		const directory = temporaryDirectory(t);
		const older = await makeImage(join(directory, 'older'), sizeMiB, mkfsArgs);
		await populateImage(older);
		const newer = join(directory, 'newer');
		copyFileSync(older, newer);
		await withKernelMount(newer, 'rw', (root) =>
			shell('cd "$1"; mkdir new; for i in $(seq 20); do seq 300 > new/$i; done; rm -r "$(ls | head -1)"', [root]),
		);
		if (name.includes('resize')) await shell('e2fsck -fp "$1"; resize2fs "$1" 40M', [newer]);
		const [a, b] = [older, newer].map((image) => FileDevice.open(image, 'read')) as [FileDevice, FileDevice];
		const isSame = (start: number, length: number) => {
			const [inA, inB] = [Buffer.alloc(length), Buffer.alloc(length)];
			a.read(start, inA);
			b.read(start, inB);
			return inA.equals(inB);
		};
		const seen = contentRanges(b, false, () => {})!;
		const added: Range[] = [];
		contentRanges(a, false, (start, length) => added.push([start, start + length]), { seen, isUnchanged: isSame });
		a.close();
		b.close();
		const blocksOf = (...lists: Range[][]) => {
			const blocks = new Set<number>();
			for (const [start, end] of lists.flat()) for (let at = start; at < end; at += 1024) blocks.add(at / 1024);
			return blocks;
		};
		t.deepEqual([...blocksOf(rangesOf(newer), added)].sort(), [...blocksOf(rangesOf(newer), rangesOf(older))].sort());
		t.true(blocksOf(rangesOf(newer), rangesOf(older)).size > blocksOf(rangesOf(newer)).size);
		if (name.includes('resize')) t.is(bytesIn(added), bytesIn(rangesOf(older)));
		else t.true(bytesIn(added) < bytesIn(rangesOf(older)), `${bytesIn(added)} of ${bytesIn(rangesOf(older))}`);
	});
}
