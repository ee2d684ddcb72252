/** Extended attributes as debugfs writes them, sound or not, and as the kernel shows them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { readInodeRecord } from '../../src/ext/inode.ts';
import { inodeLayout } from '../../src/ext/layout.ts';
import { blockEntries, inInodeEntries } from '../../src/ext/xattr.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, listDirectory } from '../helpers/tree.ts';

const it = canMount && programs('mke2fs', 'debugfs', 'setfattr', 'python3') ? test : test.skip;

/** argv: a directory. Of each file in it, its attributes: values in hexadecimal, or `error`. */
const READ = `
import errno, json, os, sys
os.chdir(sys.argv[1])
def value(path, name):
    try: return os.getxattr(path, name).hex()
    except OSError as e: return None if e.errno == errno.ENODATA else 'error'
def attributes(path):
    try: return {name: value(path, name) for name in os.listxattr(path)}
    except OSError: return 'error'
print(json.dumps({path: attributes(path) for path in os.listdir('.') if path != 'lost+found'}))
`;

type Attributes = Record<string, string | null> | 'error';

function orError<T>(action: () => T): T | 'error' {
	try {
		return action();
	} catch (error) {
		if (error instanceof NoonmarkError && error.family === 'corrupt') return 'error';
		throw error;
	}
}

function attributesIn(image: string): Record<string, Attributes> {
	const device = FileDevice.open(image, 'read');
	try {
		const fs = ExtFileSystem.open(device);
		const paths = listDirectory(fs, inodeAt(fs, '.')).map(([name]) => name);
		const files = paths.filter((path) => !path.startsWith('.') && path !== 'lost+found');
		const attributesOf = (path: string) => {
			const inode = inodeAt(fs, path);
			const names = fs.listXattrs(inode);
			const value = (name: Buffer) => orError(() => fs.getXattr(inode, name)?.toString('hex') ?? null);
			return Object.fromEntries(names.map((name) => [name.toString(), value(name)]));
		};
		return Object.fromEntries(files.map((path) => [path, orError(() => attributesOf(path))]));
	} finally {
		device.close();
	}
}

const kernelAttributes = (image: string): Promise<Record<string, Attributes>> =>
	withKernelMount(image, 'ro', async (mountPoint) =>
		JSON.parse((await runOk('python3', ['-c', READ, mountPoint])).toString()),
	);

/** Disk forms of ACLs: entries are tag, permissions and, for named users and groups, an id. */
const ACLS = [
	'', // no value
	'01000000', // no entries
	'010000',
	'02000000010006000400040020000400',
	'01000000010006000400040020000400',
	'0100000001000600040004002000040000',
	'010000000100060004000400200004000000',
	'01000000010006000200040008000000040004001000040020000400',
	'010000000100060002000400080000000400040010000400200004',
	'010000000100060004000400100004002000040002000400',
	'0100000001000600040004001000040020000400020004000800',
	'01000000010006000400040020000400400004000',
	'01000000010006000400040020000400ffff0400',
].map((hex) => Buffer.from(hex, 'hex'));
const NAMES = ['user.a', 'trusted.a', 'security.a', 'gnu.a', 'system.a', 'system.data'];

it('names with every prefix, and ACLs of every form, are what the kernel shows', async (t) => {
	const directory = temporaryDirectory(t);
	const mkfs = ['-t', 'ext4', '-b', '1024', '-I', '512', '-O', '^metadata_csum'];
	const image = await makeImage(join(directory, 'image'), 8, mkfs);
	await withKernelMount(image, 'noatime', (mountPoint) =>
		shell('cd "$1"; touch names; for i in $(seq 0 "$2"); do touch "acl-$i"; done', [mountPoint, `${ACLS.length - 1}`]),
	);
	const requests = ACLS.map((acl, i) => {
		const file = join(directory, `acl-${i}`);
		writeFileSync(file, acl);
		return `ea_set -r -f ${file} acl-${i} system.posix_acl_${i % 2 === 0 ? 'access' : 'default'}\n`;
	});
	requests.push(...NAMES.map((name) => `ea_set names ${name} value\n`));
	await runOk('debugfs', ['-w', '-f', '-', image], { input: requests.join('') });
	const expected = await kernelAttributes(image);
	t.is(Object.keys(expected.names!).length, 4);
	t.deepEqual(attributesIn(image), expected);
});

/** What debugfs sets of the inode with the value of an attribute; `OWNER` is the inode that has it. */
const VALUE_INODES: readonly (readonly string[])[] = [
	[],
	['size 4999'],
	['flags 0x80000'],
	['links_count 0'],
	['atime 1'],
	['atime 1', 'mtime OWNER'],
	['atime 1', 'mtime OWNER', 'generation OWNERS'],
	['atime 1', 'mtime 11', 'generation OWNERS'],
	['atime 1', 'mtime OWNER', 'generation OWNERS', 'size 4999'],
];

it("an attribute's value in an inode that is not as it should be is refused where the kernel refuses it", async (t) => {
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', 'ea_inode,^metadata_csum'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, mkfs);
	const script = `
import os, sys
os.chdir(sys.argv[1])
for i in range(int(sys.argv[2])):
    open(str(i), 'w').close()
    os.setxattr(str(i), b'user.caf\\xc3\\xa9', b'%d' % i * 5000)`;
	const count = VALUE_INODES.length + 1;
	await withKernelMount(image, 'noatime', (mountPoint) => runOk('python3', ['-c', script, mountPoint, `${count}`]));
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);
	const owners = Array.from({ length: count }, (_, i) => inodeAt(fs, String(i)));
	const entries = owners.map((owner) => [...inInodeEntries(owner), ...blockEntries(fs.blocks, owner)][0]!);
	const requests = VALUE_INODES.flatMap((changes, i) =>
		changes.map((change) => {
			const { number, generation } = owners[i]!;
			const value = change.replace('OWNERS', `${generation}`).replace('OWNER', `${number}`);
			return `sif <${entries[i]!.valueInode}> ${value.replace(/time /, 'time @')}\n`;
		}),
	);
	await runOk('debugfs', ['-w', '-f', '-', image], { input: requests.join('') });
	// The last one's hash as of kernels with signed characters.
	const [owner, { name, hash, valueInode }] = [owners.at(-1)!, entries.at(-1)!];
	const ofName = name.reduce((sum, byte) => (sum << 5) ^ (sum >>> 27) ^ ((byte << 24) >> 24), 0);
	const signed = (ofName << 16) ^ (ofName >>> 16) ^ fs.readInode(valueInode).atimeSec;
	t.not(signed >>> 0, hash);
	const { record, byteOffset } = readInodeRecord(fs.blocks, fs.groups, owner.number);
	const at = record.indexOf(Buffer.from(Uint32Array.of(hash).buffer));
	editImage(image, (editor) => editor.write(byteOffset + at, Buffer.from(Int32Array.of(signed).buffer)));

	const expected = await kernelAttributes(image);
	const refused = Object.values(expected).map((attributes) => Object.values(attributes).includes('error'));
	t.deepEqual(refused, [false, true, true, true, true, true, false, true, true, false]);
	t.deepEqual(attributesIn(image), expected);
});

/** What is changed of a block with one attribute `user.large` of 700 bytes: its header, the entry at 32, and the rest. */
const BLOCKS: readonly ((block: Buffer) => unknown)[] = [
	() => {},
	(block) => block.writeUInt32LE(0, 0), // no magic number
	(block) => block.writeUInt32LE(0, 4), // no references
	(block) => block.writeUInt32LE(0, 8),
	(block) => block.writeUInt32LE(2, 8),
	(block) => block.writeUInt8(0, 32), // a name without bytes
	(block) => block.writeUInt8(255, 32),
	(block) => block.writeUInt8(99, 33), // a prefix that is none
	(block) => block.writeUInt8(7, 33), // one that is hidden
	(block) => block.writeUInt16LE(END, 34), // a value at the end of the entries
	(block) => block.writeUInt16LE(END + 3, 34),
	(block) => block.writeUInt16LE(END + 4, 34),
	(block) => block.writeUInt16LE(1024 - 700 + 4, 34), // a value past the block
	(block) => {
		block.writeUInt16LE(3, 34); // a value without bytes can be anywhere in the block
		block.writeUInt32LE(0, 40);
	},
	(block) => block.writeUInt32LE(1021, 40),
	(block) => block.writeUInt32LE(0xffffffff, 40),
	(block) => block.writeUInt8(0, 50), // a NUL in the name
	(block) => block.fill(1, END), // no end of the entries
];
/** Behind the header, the entry and its name. */
const END = 32 + 16 + 8;

it('blocks of attributes that contradict themselves are refused where the kernel refuses them', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, mkfs);
	const script = `cd "$1"; for i in $(seq 0 "$2"); do touch $i; setfattr -n user.large -v "$(printf "%0700d" $i)" $i; done
		for i in 120 124; do touch inode-$i; setfattr -n user.small -v $i inode-$i; done`;
	await withKernelMount(image, 'noatime', (mountPoint) => shell(script, [mountPoint, `${BLOCKS.length - 1}`]));
	await runOk('debugfs', ['-w', '-f', '-', image], {
		input: [120, 124].map((end) => `sif inode-${end} extra_isize ${end}\n`).join(''),
	});
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);
	editImage(image, (editor) => {
		for (const [i, change] of BLOCKS.entries())
			editor.patch(inodeAt(fs, String(i)).xattrBlock * 1024, 1024, (block) => void change(block));
		// Where there is room for a magic number, and no more.
		for (const end of [120, 124]) {
			const { byteOffset } = readInodeRecord(fs.blocks, fs.groups, inodeAt(fs, `inode-${end}`).number);
			editor.patch(byteOffset + 128 + end, 128 - end, (bytes) => bytes.fill(0).writeUInt32LE(0xea020000));
		}
	});
	const expected = await kernelAttributes(image);
	t.true(Object.values(expected).filter((attributes) => attributes === 'error').length > 8);
	t.deepEqual(attributesIn(image), expected);
});

it('on a volume of the Hurd, where Linux has the upper half of the number of their block is something else', async (t) => {
	const mkfs = ['-t', 'ext2', '-o', 'hurd', '-I', '128', '-b', '1024'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, mkfs);
	await withKernelMount(image, 'noatime', (mountPoint) =>
		shell('touch "$1/file"; setfattr -n user.large -v "$(printf "%0500d" 7)" "$1/file"', [mountPoint]),
	);
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);
	const { byteOffset } = readInodeRecord(fs.blocks, fs.groups, inodeAt(fs, 'file').number);
	editImage(image, (editor) => editor.write(byteOffset + inodeLayout.at.xattrBlockHigh, Buffer.from([1, 0])));
	const expected = await kernelAttributes(image);
	t.is(Object.keys(expected.file!).length, 1);
	t.deepEqual(attributesIn(image), expected);
});
