import { ExtFileSystem } from '../../../src/ext/filesystem.ts';
import { inodeAt, listDirectory } from '../../helpers/tree.ts';
import { isContained, it, list, type Scene, soundImage } from './scene.ts';

const firstBlock = ({ fs, inode }: Scene) => fs.files.runAt(inode, 0).block;
const harmEntry = (at: number, change: (bytes: Buffer, at: number) => void) => (scene: Scene) =>
	scene.patchBlock(firstBlock(scene), (bytes) => change(bytes, at));
const SIZES = 'sizes';
it(
	'an entry of length 0',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => b.writeUInt16LE(0, at + 4)),
	list(SIZES),
);
it(
	'an entry shorter than any, before a sound one',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => {
		b.fill(0, at, at + 8);
		b.writeUInt16LE(8, at + 4);
		b.writeUInt32LE(2, at + 8);
		b.writeUInt16LE(b.length - at - 8, at + 12);
		b.write('\x01\x02a', at + 14);
	}),
	list(SIZES),
);
it(
	'an entry of odd length',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => b.writeUInt16LE(13, at + 4)),
	list(SIZES),
);
it(
	'an entry past the end of its block',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => b.writeUInt16LE(60000, at + 4)),
	list(SIZES),
);
it(
	'a name longer than its entry',
	isContained,
	SIZES,
	'directory-entry',
	harmEntry(24, (b, at) => b.writeUInt8(200, at + 6)),
	list(SIZES),
);
it(
	'a slash in a name',
	isContained,
	SIZES,
	'directory-name',
	harmEntry(24, (b, at) => b.writeUInt8(0x2f, at + 8)),
	list(SIZES),
);
it(
	'a NUL in a name',
	isContained,
	SIZES,
	'directory-name',
	harmEntry(24, (b, at) => b.writeUInt8(0, at + 8)),
	list(SIZES),
);
it(
	'a name without bytes',
	isContained,
	SIZES,
	'directory-name',
	harmEntry(24, (b, at) => b.writeUInt8(0, at + 6)),
	list(SIZES),
);
it(
	'an inode number past the last',
	isContained,
	SIZES,
	'inode-number',
	(scene) => harmEntry(24, (b, at) => b.writeUInt32LE(scene.fs.superblock.inodeCount + 1, at))(scene),
	(fs) => listDirectory(fs, inodeAt(fs, SIZES)).map(([, number]) => fs.readInode(number)),
);
it(
	'a directory of 4 GiB',
	isContained,
	SIZES,
	'directory-size',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(0xfffffc00, 4)),
	list(SIZES),
);
it(
	'a directory of half a block',
	isContained,
	SIZES,
	'directory-size',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(512, 4)),
	list(SIZES),
);
/** By the place in the root of a directory's index: what is written there, which no index has. */
const ODD_INDEXES: Readonly<Record<string, readonly [at: number, hex: string]>> = {
	'a hash function that is none': [0x1c, '4d'],
	'a root of another length': [0x1d, '0c'],
	'more levels than there can be': [0x1e, '03'],
	'flags that nobody knows': [0x1f, '01'],
	'room for more entries than fit': [0x20, 'ff'],
	'more entries than fit': [0x20, 'ffffffff'],
	'no entries': [0x22, '00'],
	'a block that the directory does not have': [0x25, '7f'],
};

for (const [what, [at, hex]] of Object.entries(ODD_INDEXES)) {
	it(`the index of a directory says ${what}: names are found without it`, async (t) => {
		const image = await soundImage(t);
		const sound = ExtFileSystem.open(image);
		const directory = inodeAt(sound, 'directories/many');
		const names = listDirectory(sound, directory).map(([name]) => Buffer.from(name, 'latin1'));
		t.true(names.length > 400);
		const block = sound.files.runAt(directory, 0).block * sound.superblock.blockSizeBytes;
		image.patch(block + at, hex.length / 2, (bytes) => bytes.write(hex, 'hex'));
		const fs = ExtFileSystem.open(image);
		for (const name of names) t.is(fs.lookup(directory, name), sound.lookup(directory, name));
		t.is(fs.lookup(directory, Buffer.from('nothing')), undefined);
	});
}
