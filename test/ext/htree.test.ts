/** Indexes of directories that are rare: kernels write them where names have one hash, or hash bytes over 127 in another way. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { NAME_AT, walkEntries } from '../../src/ext/directory-entry.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import type { Inode } from '../../src/ext/inode.ts';
import { FLAG_UNSIGNED_HASH } from '../../src/ext/layout.ts';
import { HASH_HALF_MD4, nameHasher } from '../../src/ext/name-hash.ts';
import { editImage, type ImageEditor } from '../helpers/ext-edit.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, listDirectory } from '../helpers/tree.ts';

const it = canMount && programs('mke2fs', 'debugfs', 'e2fsck', 'python3') ? test : test.skip;
/** Two files have all the names. */
const MAKE_NAMES = `
import os, sys
os.chdir(sys.argv[1])
open('file', 'w').close()
os.mkdir('many')
for i in range(int(sys.argv[2])): os.link('file', b'many/%05d-%s-\\xe9' % (i, b'n' * int(sys.argv[3])))
`;

async function imageWithNames(t: ExecutionContext, count: number, nameBytes: number): Promise<string> {
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', '^has_journal,^metadata_csum'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 32, mkfs);
	const args = [count, nameBytes].map(String);
	await withKernelMount(image, 'noatime', (mountPoint) => runOk('python3', ['-c', MAKE_NAMES, mountPoint, ...args]));
	return image;
}

function open(t: ExecutionContext, image: string): ExtFileSystem {
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	return ExtFileSystem.open(device);
}

const namesIn = (fs: ExtFileSystem) =>
	listDirectory(fs, inodeAt(fs, 'many')).map(([name]) => Buffer.from(name, 'latin1'));

function notFound(fs: ExtFileSystem, names: readonly Buffer[]): string[] {
	const many = inodeAt(fs, 'many');
	return names.filter((name) => fs.lookup(many, name) === undefined).map((name) => name.toString('latin1'));
}

/**
 * Says in every entry of the index that its first name continues the hash of the block before: what a kernel writes where
 * one hash has names in two blocks. Such a name is to be looked for in both. Returns the number of entries.
 */
function continueHashes(editor: ImageEditor, fs: ExtFileSystem, directory: Inode): number {
	const { blockSizeBytes, hashSeed } = fs.superblock;
	const hash = nameHasher(HASH_HALF_MD4, hashSeed, false)!;
	const placeOf = (fileBlock: number) => fs.files.runAt(directory, fileBlock).block * blockSizeBytes;
	let changed = 0;
	/** Returns the smallest hash below. */
	const visit = (fileBlock: number, entriesAt: number, levels: number): number => {
		const bytes = editor.read(placeOf(fileBlock), blockSizeBytes);
		if (levels < 0) {
			let smallest = 0xffffffff;
			walkEntries(bytes, 0, bytes.length, directory.number, 0, (entry) => {
				const name = bytes.subarray(entry + NAME_AT, entry + NAME_AT + bytes[entry + 6]!);
				smallest = Math.min(smallest, hash(name).major);
				return true;
			});
			return smallest;
		}
		let smallest = 0;
		for (let i = 0; i < bytes.readUInt16LE(entriesAt + 2); i++) {
			const at = entriesAt + 8 * i;
			const below = visit(bytes.readUInt32LE(at + 4), 8, levels - 1);
			// Only 28 bits are the block's number.
			bytes.writeUInt32LE((bytes.readUInt32LE(at + 4) | 0xa0000000) >>> 0, at + 4);
			if (i === 0) smallest = below;
			else bytes.writeUInt32LE((below | 1) >>> 0, at);
			changed++;
		}
		editor.write(placeOf(fileBlock), bytes);
		return smallest;
	};
	const root = editor.read(placeOf(0), blockSizeBytes);
	visit(0, 0x20, root[0x1e]!);
	return changed;
}

for (const [levels, count, nameBytes] of [
	['one node', 400, 20],
	['two levels', 1500, 200],
] as const) {
	it(`hashes that go on in the next block, in an index of ${levels}`, async (t) => {
		const image = await imageWithNames(t, count, nameBytes);
		const before = open(t, image);
		const many = inodeAt(before, 'many');
		const names = namesIn(before);
		t.is(names.length, count + 2);
		const changed = editImage(image, (editor) => continueHashes(editor, before, many));
		t.true(changed > 10);
		await withKernelMount(image, 'ro', (mountPoint) =>
			shell('cd "$1/many"; ls | xargs -d "\\n" stat >/dev/null', [mountPoint]),
		);
		t.deepEqual(notFound(open(t, image), names), []);
	});
}

for (const isUnsigned of [false, true]) {
	it(`names hashed with ${isUnsigned ? 'unsigned' : 'signed'} characters, where the volume does not say so`, async (t) => {
		const image = await imageWithNames(t, 400, 20);
		if (isUnsigned) {
			await runOk('debugfs', ['-w', '-R', `ssv flags ${FLAG_UNSIGNED_HASH}`, image]);
			t.true((await run('e2fsck', ['-fyD', image])).code! <= 1);
		}
		t.deepEqual(notFound(open(t, image), namesIn(open(t, image))), []);
		editImage(image, (editor) => editor.setSuperblock({ flags: 0 }));
		const fs = open(t, image);
		t.is(namesIn(fs).length, 402);
		t.deepEqual(notFound(fs, namesIn(fs)), []);
	});
}
