/** Directories both encrypted and folding case, which few kernels make: one that the kernel encrypted, with hashes put in. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { populateEncrypted } from '../../images/encrypt.ts';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { NAME_AT } from '../../src/ext/directory-entry.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { BLOCK_AT, isEncryptedLink, readInodeRecord } from '../../src/ext/inode.ts';
import { directoryEntryLayout, FLAG_CASEFOLD, FLAG_INDEX, superblockLayout } from '../../src/ext/layout.ts';
import { DamagedImage } from '../helpers/damaged-image.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, listDirectory } from '../helpers/tree.ts';

const INCOMPAT_CASEFOLD = 0x20000;
const FLAGS_AT = 0x20;
const { at } = directoryEntryLayout;
const HASH_BYTES = 8;

const it = canMount && programs('mke2fs', 'python3') ? test : test.skip;

it('encrypted and case folding: names have the hashes that are stored behind them', async (t) => {
	const path = join(temporaryDirectory(t), 'image');
	await makeImage(path, 16, ['-t', 'ext4', '-O', 'encrypt,^metadata_csum', '-I', '256']);
	await withKernelMount(path, 'noatime', populateEncrypted);
	const image = new DamagedImage(readFileSync(path));
	const before = ExtFileSystem.open(image);
	const directory = inodeAt(before, 'encrypted');
	const stored = new Map(
		listDirectory(before, directory)
			.filter(([name]) => !name.startsWith('.'))
			.map(([name, inode]) => [inode, Buffer.from(name, 'base64url').subarray(HASH_BYTES)]),
	);
	t.true(stored.size >= 7);

	const random = new Random(20261125);
	t.log(`seed ${random.seed}`);
	const hashes = new Map([...stored].map(([inode]) => [inode, random.bytes(HASH_BYTES)]));
	const { blockSizeBytes, inodeSizeBytes } = before.superblock;
	image.patch(1024, superblockLayout.sizeBytes, (bytes) => {
		const { incompat } = superblockLayout.decode(bytes);
		superblockLayout.encode({ incompat: incompat | INCOMPAT_CASEFOLD, encoding: 1 }, bytes);
	});
	const { byteOffset } = readInodeRecord(before.blocks, before.groups, directory.number);
	image.patch(byteOffset, inodeSizeBytes, (record) => {
		record.writeUInt32LE(((record.readUInt32LE(FLAGS_AT) | FLAG_CASEFOLD) & ~FLAG_INDEX) >>> 0, FLAGS_AT);
	});
	const { block } = before.files.runAt(directory, 0);
	image.patch(block * blockSizeBytes, blockSizeBytes, (bytes) => addHashes(bytes, hashes));

	const fs = ExtFileSystem.open(image);
	const shown = listDirectory(fs, inodeAt(fs, 'encrypted')).filter(([name]) => !name.startsWith('.'));
	const expected = [...stored].map(([inode, name]) => Buffer.concat([hashes.get(inode)!, name]).toString('base64url'));
	t.deepEqual(shown.map(([name]) => name).sort(), expected.sort());
	for (const [name, inode] of shown) t.is(fs.lookup(inodeAt(fs, 'encrypted'), Buffer.from(name)), inode);
	t.is(fs.lookup(directory, Buffer.from('no such name')), undefined);
});

it('an encrypted link whose target says that it is longer than its inode does', async (t) => {
	const path = join(temporaryDirectory(t), 'image');
	await makeImage(path, 16, ['-t', 'ext4', '-O', 'encrypt,^metadata_csum', '-I', '256']);
	await withKernelMount(path, 'noatime', populateEncrypted);
	const open = () => ExtFileSystem.open(new DamagedImage(readFileSync(path)));
	const before = open();
	const links = listDirectory(before, inodeAt(before, 'encrypted'))
		.map(([, inodeNumber]) => before.readInode(inodeNumber))
		.filter(isEncryptedLink);
	const [link] = links;
	t.is(links.length, 1);
	t.true(before.readLink(link!).length > 20);
	const { record, byteOffset } = readInodeRecord(before.blocks, before.groups, link!.number);
	const sizeBytes = record.readUInt32LE(4);
	editImage(path, (editor) => editor.patch(byteOffset + BLOCK_AT, 2, (bytes) => bytes.writeUInt16LE(sizeBytes - 1)));
	const fs = open();
	t.throws(() => fs.readLink(fs.readInode(link!.number)), { code: 'symlink-size' });
});

/** Lays a directory's block out anew, with a hash behind each name but the dots (fs/ext4/ext4.h, EXT4_DIRENT_HASHES). */
function addHashes(bytes: Buffer, hashes: ReadonlyMap<number, Buffer>): void {
	const old = Buffer.from(bytes);
	bytes.fill(0);
	let [to, last] = [0, 0];
	for (let from = 0; from < old.length; from += old.readUInt16LE(from + at.recordLength)) {
		const [inode, nameLength] = [old.readUInt32LE(from + at.inode), old[from + at.nameLength]!];
		if (inode === 0) continue;
		const nameEnd = to + NAME_AT + nameLength;
		old.copy(bytes, to, from, from + NAME_AT + nameLength);
		const hashAt = (nameEnd + 3) & ~3;
		const end = hashAt + (hashes.get(inode)?.copy(bytes, hashAt) ?? 0);
		bytes.writeUInt16LE(end - to, to + at.recordLength);
		[to, last] = [end, to];
	}
	bytes.writeUInt16LE(bytes.length - last, last + at.recordLength);
}
