/** Before a directory is listed with its inodes, the device hears which parts of the inode tables that takes. */
import { join } from 'node:path';
import anyTest from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import type { BlockDevice } from '../../src/block/device.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem, ROOT_INODE } from '../../src/ext/filesystem.ts';
import type { Inode } from '../../src/ext/inode.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = canMount && programs('mke2fs') ? anyTest : anyTest.skip;

/** Tells which reads were not announced. */
class ListeningDevice implements BlockDevice {
	readonly sizeBytes: number;
	readonly unannounced: number[] = [];
	readonly #source: FileDevice;
	readonly #announced: [start: number, end: number][] = [];

	constructor(source: FileDevice) {
		this.#source = source;
		this.sizeBytes = source.sizeBytes;
	}

	announceRead(byteOffset: number, lengthBytes: number): void {
		this.#announced.push([byteOffset, byteOffset + lengthBytes]);
		this.#source.announceRead(byteOffset, lengthBytes);
	}

	read(byteOffset: number, into: Uint8Array): void {
		const isAnnounced = ([start, end]: [number, number]) =>
			start <= byteOffset && Math.min(byteOffset + into.length, this.sizeBytes) <= end;
		if (!this.#announced.some(isAnnounced)) this.unannounced.push(byteOffset);
		this.#source.read(byteOffset, into);
	}

	close(): void {}
}

/** Each name with its inode's number and size, as a listing goes on again and again. */
function listing(fs: ExtFileSystem, directory: Inode, withInodes: boolean): string[] {
	const lines: string[] = [];
	for (let position = 0, isMore = true; isMore; ) {
		let count = 0;
		isMore = false;
		fs.readDirectory(
			directory,
			position,
			(name, inodeNumber, _, nextPosition) => {
				if (count++ === 100) {
					isMore = true;
					return false;
				}
				lines.push(`${Buffer.from(name)} ${inodeNumber} ${fs.readInode(inodeNumber).sizeBytes}`);
				position = nextPosition;
				return true;
			},
			withInodes,
		);
	}
	return lines;
}

test('of a directory that is listed with its inodes, every read of an inode table was announced', async (t) => {
	const image = join(temporaryDirectory(t), 'image');
	await makeImage(image, 128, ['-t', 'ext4', '-b', '1024', '-g', '2048', '-N', '60000']);
	await withKernelMount(image, 'noatime', (root) =>
		shell('mkdir "$1"/{1..300}; mkdir "$1"/large; cd "$1"/large; touch file-{1..6000}', [root]),
	);
	const file = FileDevice.open(image, 'read');
	t.teardown(() => file.close());
	const device = new ListeningDevice(file);
	const [announcing, plain] = [ExtFileSystem.open(device), ExtFileSystem.open(file)];
	const { superblock, groups } = announcing;
	const tables = Array.from(
		{ length: superblock.groupCount },
		(_, group) => groups.get(group).inodeTable * superblock.blockSizeBytes,
	);
	const tableBytes = superblock.inodesPerGroup * superblock.inodeSizeBytes;
	const [root, large] = [ROOT_INODE, announcing.lookup(announcing.readInode(ROOT_INODE), Buffer.from('large'))!];
	device.unannounced.splice(0);
	for (const number of [root, large]) {
		const names = listing(announcing, announcing.readInode(number), true);
		t.deepEqual(names, listing(plain, plain.readInode(number), false));
		t.true(names.length > 300);
	}
	const isInTable = (byteOffset: number) =>
		tables.some((table) => byteOffset >= table && byteOffset < table + tableBytes);
	t.deepEqual(device.unannounced.filter(isInTable), []);
});
