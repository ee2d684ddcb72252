/** Large directories: a look-up reads a handful of blocks, however many names there are; and what is past 16 and 32 bits. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import type { BlockDevice } from '../../src/block/device.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { BLOCK_AT, type Inode, readInodeRecord } from '../../src/ext/inode.ts';
import { extentHeaderLayout, extentLayout, inodeLayout } from '../../src/ext/layout.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { serveMount } from '../helpers/fuse-mount.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, listDirectory } from '../helpers/tree.ts';

/** `make test TESTS=build/test/ext/large-directory.test.js ENTRIES=1000000` takes minutes. */
const ENTRIES = Number(process.env.ENTRIES ?? 100_000);
/** Two files have all the names: inodes would take longer to make, and add nothing. */
const MAKE_NAMES = `
import os, sys
os.chdir(sys.argv[1])
os.mkdir('large')
for i in range(${ENTRIES}):
    if i % 50000 == 0:
        first = 'file-%d' % i
        open(first, 'w').close()
    os.link(first, 'large/%06d-%s' % (i, 'n' * 150))
`;
const nameOf = (index: number) => `${String(index).padStart(6, '0')}-${'n'.repeat(150)}`;

/** Counts what is read through it. */
class CountingDevice implements BlockDevice {
	readonly sizeBytes: number;
	readCount = 0;
	readonly #source: BlockDevice;

	constructor(source: BlockDevice) {
		this.#source = source;
		this.sizeBytes = source.sizeBytes;
	}

	read(byteOffset: number, into: Uint8Array): void {
		this.readCount++;
		this.#source.read(byteOffset, into);
	}

	close(): void {}
}

function open(t: ExecutionContext, image: string): ExtFileSystem {
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	return ExtFileSystem.open(device);
}

/** Mounts an image as the only copy in a tree; returns where its root is. */
function served(t: ExecutionContext, image: string): string {
	const mountPoint = temporaryDirectory(t);
	const name = '@GMT-2026.11.30-00.00.00';
	const handlerModule = new URL('../fuse/browse-server.js', import.meta.url).href;
	const handlerData = { copies: [{ number: 1, name, image }], changedAtMs: 0 };
	serveMount(t, {
		mountPoint,
		source: 'image',
		root: 'directory',
		readOnly: true,
		allowOther: false,
		handlerModule,
		handlerData,
	});
	return join(mountPoint, name);
}

const it = canMount && programs('mke2fs', 'python3') ? test : test.skip;

it(`${ENTRIES.toLocaleString('en')} entries, indexed in three levels`, async (t) => {
	t.timeout(ENTRIES * 2);
	const image = join(temporaryDirectory(t), 'image');
	await makeImage(image, 60 + Math.ceil(ENTRIES / 4000), ['-t', 'ext4', '-b', '1024', '-O', 'large_dir,^has_journal']);
	await withKernelMount(image, 'noatime', async (mountPoint) => {
		await runOk('python3', ['-c', MAKE_NAMES, mountPoint], { timeoutMs: ENTRIES });
	});
	const file = FileDevice.open(image, 'read');
	t.teardown(() => file.close());
	const device = new CountingDevice(file);
	const fs = ExtFileSystem.open(device);
	const large = inodeAt(fs, 'large');
	t.is(indexLevels(fs, large.number), 2);
	const listed = listDirectory(fs, large);
	t.is(new Set(listed.map(([name]) => name)).size, ENTRIES + 2);

	const random = new Random(20261125);
	t.log(`seed ${random.seed}`);
	let most = 0;
	for (let i = 0; i < 60; i++) {
		const cold = ExtFileSystem.open(device);
		const directory = inodeAt(cold, 'large');
		const index = random.integer(ENTRIES);
		device.readCount = 0;
		t.is(
			cold.lookup(directory, Buffer.from(nameOf(index))),
			inodeAt(cold, `file-${Math.floor(index / 50_000) * 50_000}`).number,
		);
		t.is(cold.lookup(directory, Buffer.from(nameOf(ENTRIES + index))), undefined);
		most = Math.max(most, device.readCount);
	}
	// Twice three levels of index and a leaf, and the nodes of the extent tree on the way to each of them.
	t.log(`at most ${most} reads for a name that is there and one that is not`);
	t.true(most <= 16, `${most} reads`);
});

/** Names, link counts and sizes of what is in a directory, and of itself. */
const findIn = async (directory: string) =>
	(await shell('find "$1" -maxdepth 1 -printf "%P %n %s\\n" | LC_ALL=C sort', [directory])).toString().split('\n');

it('more subdirectories than can be counted, the last of them in a fast commit', async (t) => {
	const directory = temporaryDirectory(t);
	// Most of them without a journal, in a quarter of the time.
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', '^has_journal', '-N', '66000'];
	const image = await makeImage(join(directory, 'image'), 160, mkfs);
	const cut = join(directory, 'cut');
	const script = `
import os, sys
os.chdir(sys.argv[1])
for i in range(int(sys.argv[2]), int(sys.argv[3])): os.mkdir(str(i))
file = os.open('../file', os.O_CREAT | os.O_RDWR)
os.write(file, b'content')
os.fsync(file)`;
	const make = (mountPoint: string, first: number, end: number) =>
		runOk('python3', ['-c', script, join(mountPoint, 'many'), `${first}`, `${end}`]);
	await withKernelMount(image, 'noatime', async (mountPoint) => {
		await runOk('mkdir', [join(mountPoint, 'many')]);
		await make(mountPoint, 0, 64_990);
	});
	await runOk('tune2fs', ['-j', '-J', 'size=4', '-O', 'fast_commit', image]);
	const found = await withKernelMount(image, 'noatime,commit=300', async (mountPoint) => {
		// The first sync is a transaction.
		await shell('echo >"$1/file"; sync -f "$1/file"', [mountPoint]);
		for (const [path, first, end] of [
			[`${cut}-65000`, 64_990, 64_998],
			[cut, 64_998, 65_010],
		] as const) {
			await make(mountPoint, first, end);
			copyFileSync(image, path);
		}
		return findIn(join(mountPoint, 'many'));
	});
	const atLimit = open(t, `${cut}-65000`);
	t.is(inodeAt(atLimit, 'many').linkCount, 65_000, 'as many as are counted');
	t.regex(found[0]!, /^ 1 \d+$/);
	t.is(found.length, 65_012);
	// As one text: AVA takes seconds to compare so long lists.
	t.is((await findIn(join(served(t, image), 'many'))).join('\n'), found.join('\n'));
	const fs = open(t, cut);
	const many = inodeAt(fs, 'many');
	t.is(many.linkCount, 1);
	const names = [...Array(65_010).keys()].map(String);
	const listed = listDirectory(fs, many).map(([name]) => name);
	t.is(listed.sort().join(' '), ['.', '..', ...names].sort().join(' '));
	for (const name of ['0', '64989', '64990', '65009']) t.not(fs.lookup(many, Buffer.from(name)), undefined, name);
});

/**
 * Gives the blocks of a directory other numbers in it: a third stays, a third is around 2 GiB, the rest around 17 GiB. Its
 * extents, the root of its index and its size say so.
 */
function spreadDirectory(image: string, fs: ExtFileSystem, directory: Inode): void {
	const { blockSizeBytes, inodeSizeBytes } = fs.superblock;
	const count = directory.sizeBytes / blockSizeBytes;
	const third = Math.floor(count / 3);
	const around = (gibibytes: number) => (gibibytes * 2 ** 30) / blockSizeBytes - Math.floor(third / 2);
	const spread = (fileBlock: number) => {
		if (fileBlock < third) return fileBlock;
		return fileBlock < 2 * third ? around(2) + fileBlock - third : around(17) + fileBlock - 2 * third;
	};
	const extents: { fileBlock: number; startLow: number; length: number }[] = [];
	for (let i = 0; i < count; i++) {
		const [fileBlock, startLow, last] = [spread(i), fs.files.runAt(directory, i).block, extents.at(-1)];
		const goesOn = last?.fileBlock === fileBlock - (last?.length ?? 0) && last.startLow === startLow - last.length;
		if (goesOn) last.length++;
		else extents.push({ fileBlock, startLow, length: 1 });
	}
	if (extents.length > 4) throw new Error(`${extents.length} extents have no room in an inode`);
	editImage(image, (editor) => {
		editor.patch(readInodeRecord(fs.blocks, fs.groups, directory.number).byteOffset, inodeSizeBytes, (record) => {
			extentHeaderLayout.encode({ entryCount: extents.length }, record, BLOCK_AT);
			for (const [i, extent] of extents.entries()) extentLayout.encode(extent, record, BLOCK_AT + 12 * (i + 1));
			const sizeBytes = (spread(count - 1) + 1) * blockSizeBytes;
			inodeLayout.encode({ sizeLow: sizeBytes % 2 ** 32, sizeHigh: Math.floor(sizeBytes / 2 ** 32) }, record);
		});
		editor.patch(extents[0]!.startLow * blockSizeBytes, blockSizeBytes, (root) => {
			for (let i = 0; i < root.readUInt16LE(0x22); i++) {
				const at = 0x20 + 8 * i + 4;
				root.writeUInt32LE(spread(root.readUInt32LE(at)), at);
			}
		});
	});
}

it('a directory of more than 16 GiB', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', 'large_dir,^has_journal,^metadata_csum', '-N', '1024'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 24 << 10, mkfs);
	const script = 'cd "$1"; touch file; mkdir large; for i in $(seq 200); do ln file large/$(printf "%0200d" $i); done';
	await withKernelMount(image, 'noatime', (mountPoint) => shell(script, [mountPoint]));
	const before = open(t, image);
	t.is(indexLevels(before, inodeAt(before, 'large').number), 0);
	spreadDirectory(image, before, inodeAt(before, 'large'));

	const found = await withKernelMount(image, 'ro', (mountPoint) => findIn(join(mountPoint, 'large')));
	t.is(found.length, 202);
	t.deepEqual(await findIn(join(served(t, image), 'large')), found);
	const fs = open(t, image);
	const large = inodeAt(fs, 'large');
	t.true(large.sizeBytes > 16 * 2 ** 30);
	const listed = listDirectory(fs, large);
	t.is(listed.length, 202);
	for (const [name, inodeNumber] of listed) t.is(fs.lookup(large, Buffer.from(name)), inodeNumber, name);
	t.is(fs.lookup(large, Buffer.from('nothing')), undefined);
});

function indexLevels(fs: ExtFileSystem, inodeNumber: number): number {
	const { block } = fs.files.runAt(fs.readInode(inodeNumber), 0);
	return fs.blocks.metadata(block, 'htree root', inodeNumber)[0x1e]!;
}
