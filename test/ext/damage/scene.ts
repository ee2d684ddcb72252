/**
 * What tests of damage share: an image with one of everything, harmed in one place. Other readers of ext were once led
 * astray by such damage (crashes, endless loops, wrong data): here each is an error with a name, for what it touches, and
 * the rest of the volume stays readable.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { makeImage, populateImage } from '../../../images/populate.ts';
import { ExtFileSystem } from '../../../src/ext/filesystem.ts';
import { type Inode, readInodeRecord } from '../../../src/ext/inode.ts';
import { DamagedImage } from '../../helpers/damaged-image.ts';
import { canMount, programs } from '../../helpers/requires.ts';
import { temporaryDirectory } from '../../helpers/temp.ts';
import { contentOf, inodeAt, listDirectory } from '../../helpers/tree.ts';

/** No checksums: they would hide the damage behind their own error. */
const MKFS = ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,^64bit'];
let sound: Promise<Buffer> | undefined;

/** An image to be harmed; nothing of it is shared with another test. */
export async function soundImage(t: ExecutionContext): Promise<DamagedImage> {
	sound ??= (async () => {
		const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, MKFS);
		await populateImage(image);
		return readFileSync(image);
	})();
	return new DamagedImage(Buffer.from(await sound));
}

export const it = canMount && programs('mke2fs', 'python3') ? test : test.skip;

export interface Scene {
	readonly image: DamagedImage;
	readonly fs: ExtFileSystem;
	readonly inode: Inode;
	/** Changes the inode's record. */
	readonly patchInode: (change: (record: Buffer) => void) => void;
	/** Changes a block of the volume. */
	readonly patchBlock: (block: number, change: (bytes: Buffer) => void) => void;
}

/** Damages what belongs to `path`, then uses it: `use` fails with `code`, and a file beside it can still be read. */
export const isContained = test.macro(
	async (t, path: string, code: string, harm: (scene: Scene) => void, use: (fs: ExtFileSystem) => unknown) => {
		const image = await soundImage(t);
		const fs = ExtFileSystem.open(image);
		const inode = inodeAt(fs, path);
		const { inodeSizeBytes, blockSizeBytes } = fs.superblock;
		const { byteOffset } = readInodeRecord(fs.blocks, fs.groups, inode.number);
		harm({
			image,
			fs,
			inode,
			patchInode: (change) => image.patch(byteOffset, inodeSizeBytes, change),
			patchBlock: (block, change) => image.patch(block * blockSizeBytes, blockSizeBytes, change),
		});
		const damaged = ExtFileSystem.open(image);
		t.throws(() => use(damaged), { code });
		t.is(contentOf(damaged, inodeAt(damaged, 'links/first')).toString(), 'linked');
	},
);

/** Uses of what was damaged: reads the start of a file, or lists a directory. */
export const read = (path: string) => (fs: ExtFileSystem) => {
	const into = Buffer.alloc(65536);
	return fs.readFile(inodeAt(fs, path), 0, into);
};
export const list = (path: string) => (fs: ExtFileSystem) => listDirectory(fs, inodeAt(fs, path));
