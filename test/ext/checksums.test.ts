/** One bit wrong in each structure that has a checksum: an error for what it touches, as for the kernel, and for nothing else. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage, populateImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { descriptorPlace } from '../../src/ext/group-descriptors.ts';
import { type Inode, readInodeRecord } from '../../src/ext/inode.ts';
import { DIRECTORY_TAIL_BYTES, groupDescriptorLayout, inodeLayout } from '../../src/ext/layout.ts';
import { usedRanges } from '../../src/ext/used-map.ts';
import { blockEntries, inInodeEntries } from '../../src/ext/xattr.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { contentOf, inodeAt, listDirectory } from '../helpers/tree.ts';

const it = canMount && programs('mke2fs', 'debugfs', 'python3', 'setfattr', 'getfattr') ? test : test.skip;

function open(t: ExecutionContext, image: string): ExtFileSystem {
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	return ExtFileSystem.open(device);
}

/** Where the first block of a file or directory is, in bytes. */
const firstBlockAt = (fs: ExtFileSystem, inode: Inode) => fs.files.runAt(inode, 0).block * fs.superblock.blockSizeBytes;

/** What of a file is harmed: where a byte of it is; how it is used then, here and by a program. */
interface Harm {
	readonly path: string;
	readonly at: (fs: ExtFileSystem, inode: Inode) => number;
	readonly use: (fs: ExtFileSystem, path: string) => unknown;
	readonly program: string;
}

const ENTRIES_AT = 24; // behind "." and ".."
const INDEX_ENTRIES_AT = 32;

const HARMS: Readonly<Record<string, Harm>> = {
	inode: {
		path: 'sizes/4096',
		at: (fs, { number }) => readInodeRecord(fs.blocks, fs.groups, number).byteOffset + inodeLayout.at.mtimeSec,
		use: inodeAt,
		program: 'stat "$1"',
	},
	'extent tree node': {
		path: 'sparse/fragmented',
		at: (fs, inode) => {
			let leaf = 0;
			fs.files.extents.visit(
				inode,
				() => false,
				(block) => {
					leaf = block;
					return true;
				},
			);
			return leaf * fs.superblock.blockSizeBytes + 12 + 8;
		},
		use: (fs, path) => contentOf(fs, inodeAt(fs, path)),
		program: 'cat "$1"',
	},
	'directory block': {
		path: 'special',
		at: (fs, inode) => firstBlockAt(fs, inode) + ENTRIES_AT + 7,
		use: (fs, path) => listDirectory(fs, inodeAt(fs, path)),
		program: 'ls "$1"',
	},
	'tail of a directory block': {
		path: 'times',
		at: (fs, inode) => firstBlockAt(fs, inode) + fs.superblock.blockSizeBytes - DIRECTORY_TAIL_BYTES + 7,
		use: (fs, path) => listDirectory(fs, inodeAt(fs, path)),
		program: 'ls "$1"',
	},
	'index of a directory': {
		path: 'directories/many',
		at: (fs, inode) => firstBlockAt(fs, inode) + INDEX_ENTRIES_AT + 8,
		use: (fs, path) => inodeAt(fs, `${path}/entry-number-00001`),
		program: 'stat "$1"/entry-number-00001',
	},
	'block of attributes': {
		path: 'attributes/in-block',
		at: (fs, { xattrBlock }) => (xattrBlock + 1) * fs.superblock.blockSizeBytes - 5,
		use: (fs, path) => fs.getXattr(inodeAt(fs, path), Buffer.from('user.large')),
		program: 'getfattr -n user.large "$1"',
	},
};

it('a wrong bit in what belongs to a file', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', 'metadata_csum'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, mkfs);
	await populateImage(image);
	const sound = open(t, image);
	const places = Object.values(HARMS).map(({ path, at }) => at(sound, inodeAt(sound, path)));
	for (const { path, use } of Object.values(HARMS)) t.notThrows(() => use(sound, path), path);
	editImage(image, (editor) => {
		for (const place of places) editor.patch(place, 1, (bytes) => bytes.writeUInt8(bytes[0]! ^ 1));
	});
	const fs = open(t, image);
	for (const [what, { path, use }] of Object.entries(HARMS)) t.throws(() => use(fs, path), { code: 'checksum' }, what);
	t.is(contentOf(fs, inodeAt(fs, 'links/first')).toString(), 'linked');
	await withKernelMount(image, 'ro', async (mountPoint) => {
		for (const [what, { path, program }] of Object.entries(HARMS)) {
			const { code } = await run('bash', ['-c', program, 'bash', join(mountPoint, path)]);
			t.not(code, 0, `the kernel refuses it, too: ${what}`);
		}
		t.is((await runOk('cat', [join(mountPoint, 'links/first')])).toString(), 'linked');
	});
});

it('a block that is right for another inode', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, ['-t', 'ext4', '-b', '1024']);
	const script = `cd "$1"; mkdir a b; touch a/in-a b/in-b
		for i in $(seq 0 2 20); do for file in one two; do dd if=/dev/zero of=$file bs=1k seek=$i count=1 conv=notrunc; done; done`;
	await withKernelMount(image, 'noatime', (mountPoint) => shell(script, [mountPoint]));
	const before = open(t, image);
	const wordAt = (path: string, word: number) => inodeAt(before, path).record.readUInt32LE(0x28 + 4 * word);
	// The start of the only extent, and the child of the only entry of an index.
	const input = `sif b block[5] ${wordAt('a', 5)}\nsif two block[4] ${wordAt('one', 4)}\n`;
	await runOk('debugfs', ['-w', '-f', '-', image], { input });
	const fs = open(t, image);
	t.deepEqual(
		listDirectory(fs, inodeAt(fs, 'a')).map(([name]) => name),
		['.', '..', 'in-a'],
	);
	t.throws(() => listDirectory(fs, inodeAt(fs, 'b')), { code: 'checksum' });
	t.is(contentOf(fs, inodeAt(fs, 'one')).length, 21 * 1024);
	t.throws(() => contentOf(fs, inodeAt(fs, 'two')), { code: 'checksum' });
	await withKernelMount(image, 'ro', async (mountPoint) => {
		// It checks a block that is cached only once, whoever asks for it.
		for (const program of ['ls "$1/b"', 'cat "$1/two"'])
			await t.throwsAsync(shell(program, [mountPoint]), undefined, program);
		await shell('ls "$1/a"; cat "$1/one"', [mountPoint]);
	});
});

for (const features of ['metadata_csum', '^metadata_csum,uninit_bg', '^metadata_csum,uninit_bg,64bit']) {
	it(`a wrong bit in a group's descriptor or bitmap: ${features}`, async (t) => {
		const mkfs = ['-t', 'ext4', '-b', '1024', '-O', features];
		const image = await makeImage(join(temporaryDirectory(t), 'image'), 32, mkfs);
		const { superblock, groups } = open(t, image);
		const isBitmapSummed = features === 'metadata_csum';
		const bitmapAt = groups.get(0).blockBitmap * superblock.blockSizeBytes;
		const { block, byteInBlock } = descriptorPlace(superblock, 1);
		editImage(image, (editor) => {
			const at = block * superblock.blockSizeBytes + byteInBlock + groupDescriptorLayout.at.freeInodesLow;
			editor.patch(at, 1, (bytes) => bytes.writeUInt8(bytes[0]! ^ 1));
			if (isBitmapSummed) editor.patch(bitmapAt + 900, 1, (bytes) => bytes.writeUInt8(bytes[0]! ^ 1));
		});
		const fs = open(t, image);
		const { message } = t.throws(() => usedRanges(fs, () => {}), { code: 'checksum' });
		t.regex(message, isBitmapSummed ? /group 0: the checksum of its block bitmap/ : /group 1: .* descriptor/);
		t.throws(() => fs.groups.get(1), { code: 'checksum' });
		t.notThrows(() => fs.groups.get(0));
		t.true(listDirectory(fs, inodeAt(fs, '')).length > 0, 'what is in the first group can be read');
	});
}

/** An attribute of 5000 bytes in an inode of its own; returns who has it, and that inode. */
async function imageWithValueInode(t: ExecutionContext) {
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', 'ea_inode,^metadata_csum'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, mkfs);
	await withKernelMount(image, 'noatime', (mountPoint) =>
		shell('touch "$1/file"; setfattr -n user.large -v "$(head -c 5000 /dev/zero | tr "\\0" x)" "$1/file"', [
			mountPoint,
		]),
	);
	const fs = open(t, image);
	const owner = inodeAt(fs, 'file');
	const entries = [...inInodeEntries(owner), ...blockEntries(fs.blocks, owner)];
	return { image, fs, owner, valueInode: entries.find(({ valueInode }) => valueInode !== 0)!.valueInode };
}

const largeOf = (fs: ExtFileSystem) => fs.getXattr(inodeAt(fs, 'file'), Buffer.from('user.large'));

it("a wrong bit in an attribute's value that fills an inode", async (t) => {
	const { image, fs, valueInode } = await imageWithValueInode(t);
	t.deepEqual(largeOf(fs), Buffer.alloc(5000, 'x'));
	const at = firstBlockAt(fs, fs.readInode(valueInode));
	editImage(image, (editor) => editor.write(at, Buffer.from('y')));
	t.throws(() => largeOf(open(t, image)), { code: 'xattr-inode', message: /checksum/ });
});

it("an attribute's value in an inode as Lustre made them: without a checksum, with its owner's number for a time", async (t) => {
	const { image, owner, valueInode } = await imageWithValueInode(t);
	const fields = { atime: '@1', mtime: `@${owner.number}`, generation: owner.generation };
	const input = Object.entries(fields).map(([field, value]) => `sif <${valueInode}> ${field} ${value}\n`);
	await runOk('debugfs', ['-w', '-f', '-', image], { input: input.join('') });
	t.deepEqual(largeOf(open(t, image)), Buffer.alloc(5000, 'x'));
	const getfattr = (mountPoint: string) =>
		runOk('getfattr', ['--only-values', '-n', 'user.large', join(mountPoint, 'file')]);
	t.deepEqual(await withKernelMount(image, 'ro', getfattr), Buffer.alloc(5000, 'x'));
});
