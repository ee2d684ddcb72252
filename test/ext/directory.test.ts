/** Directories as a model writes them: entries of every length and alignment, some deleted, with room left over. */

import test from 'ava';
import fc from 'fast-check';
import type { BlockDevice } from '../../src/block/device.ts';
import { LineCache } from '../../src/block/line-cache.ts';
import { BlockReader } from '../../src/ext/block-reader.ts';
import { Directories } from '../../src/ext/directory.ts';
import { decodeRecordLength } from '../../src/ext/directory-entry.ts';
import { FileBlocks } from '../../src/ext/file-blocks.ts';
import type { Inode } from '../../src/ext/inode.ts';
import type { Superblock } from '../../src/ext/superblock.ts';

interface ModelEntry {
	readonly name: Buffer;
	readonly isDeleted: boolean;
	/** Words that the entry has more than its name needs. */
	readonly slackWords: number;
}

const MAX_NAME_BYTES = 255;
const notInNames = new Set([0x00, 0x2f]);
const names = fc
	.uint8Array({ minLength: 1, maxLength: MAX_NAME_BYTES })
	.map((bytes) => Buffer.from(bytes.map((byte) => (notInNames.has(byte) ? byte + 1 : byte))));
const entries = fc.uniqueArray(
	fc.record({ name: names, isDeleted: fc.boolean(), slackWords: fc.oneof(fc.constant(0), fc.nat(40), fc.nat(20_000)) }),
	{ maxLength: 40, selector: ({ name }) => name.toString('hex') },
);

/** Fills blocks one after the other; the last entry of each reaches to its end. */
function writeDirectory(model: readonly ModelEntry[], blockSizeBytes: number): Buffer {
	const blocks: Buffer[] = [];
	let [block, at, last] = [Buffer.alloc(0), 0, 0];
	const close = () => writeLength(block, last, block.length - last);
	model.forEach(({ name, isDeleted, slackWords }, i) => {
		const needed = (8 + name.length + 3) & ~3;
		if (at + needed > block.length) {
			if (block.length > 0) close();
			block = Buffer.alloc(blockSizeBytes);
			at = 0;
			blocks.push(block);
		}
		const length = Math.min(needed + 4 * slackWords, block.length - at);
		block.writeUInt32LE(isDeleted ? 0 : inodeNumberOf(i), at);
		writeLength(block, at, length);
		block.writeUInt8(name.length, at + 6);
		block.writeUInt8(1 + (i % 7), at + 7);
		name.copy(block, at + 8);
		[last, at] = [at, at + length];
	});
	if (blocks.length === 0) {
		block = Buffer.alloc(blockSizeBytes);
		blocks.push(block);
	}
	close();
	return Buffer.concat(blocks);
}

/** As fs/ext4/ext4.h, ext4_rec_len_to_disk: the whole of a block of 64 KiB does not fit in 16 bits. */
const writeLength = (block: Buffer, at: number, length: number) =>
	block.writeUInt16LE(length === 65536 ? 65535 : length, at + 4);

const inodeNumberOf = (index: number) => 100 + index;

/** The directory lies on an otherwise empty volume, in one extent from block 10 on. */
function open(content: Buffer, blockSizeBytes: number): { directories: Directories; directory: Inode } {
	const volume = Buffer.concat([Buffer.alloc(10 * blockSizeBytes), content]);
	const device: BlockDevice = {
		sizeBytes: volume.length,
		read: (byteOffset, into) => void volume.copy(into, 0, byteOffset, byteOffset + into.length),
		close: () => {},
	};
	const features = new Set(['filetype']);
	const superblock = { blockSizeBytes, blockCount: volume.length / blockSizeBytes, firstDataBlock: 0, features };
	const blocks = new BlockReader(superblock as unknown as Superblock, device, { cache: new LineCache(1 << 20) });
	const record = Buffer.alloc(256);
	record.write('0af30100040000000000000000000000', 0x28, 'hex');
	record.writeUInt16LE(content.length / blockSizeBytes, 0x28 + 16);
	record.writeUInt32LE(10, 0x28 + 20);
	const directory = { number: 12, mode: 0o40755, flags: 0x80000, sizeBytes: content.length, record } as Inode;
	return { directories: new Directories(blocks, new FileBlocks(blocks)), directory };
}

type Listed = [name: string, inodeNumber: number, fileType: number, nextPosition: number];

function list(directories: Directories, directory: Inode, position: number): Listed[] {
	const found: Listed[] = [];
	directories.read(directory, position, (name, inodeNumber, fileType, nextPosition) => {
		found.push([Buffer.from(name).toString('hex'), inodeNumber, fileType, nextPosition]);
		return true;
	});
	return found;
}

const SEED = 20261125;

const readsBack = test.macro((t, blockSizeBytes: number) => {
	t.log(`seed ${SEED}`);
	const property = fc.property(entries, (model) => {
		const { directories, directory } = open(writeDirectory(model, blockSizeBytes), blockSizeBytes);
		const listed = list(directories, directory, 0);
		const expected = model.flatMap(({ name, isDeleted }, i) =>
			isDeleted ? [] : [[name.toString('hex'), inodeNumberOf(i), 1 + (i % 7)]],
		);
		t.deepEqual(
			listed.map((entry) => entry.slice(0, 3)),
			expected,
		);
		// From wherever a listing stopped, the rest follows.
		for (const [i, [, , , next]] of listed.entries()) {
			t.deepEqual(list(directories, directory, next), listed.slice(i + 1));
		}
		for (const [i, { name, isDeleted }] of model.entries()) {
			t.is(directories.lookup(directory, name), isDeleted ? undefined : inodeNumberOf(i));
		}
		t.is(directories.lookup(directory, Buffer.alloc(MAX_NAME_BYTES, 0x2f)), undefined);
	});
	fc.assert(property, { seed: SEED, numRuns: 60 });
});

test('a type that is none is told as unknown', (t) => {
	const content = writeDirectory([{ name: Buffer.from('file'), isDeleted: false, slackWords: 0 }], 1024);
	for (const [type, shown] of [
		[7, 7],
		[8, 0],
		[0xff, 0],
	] as const) {
		content.writeUInt8(type, 7);
		const { directories, directory } = open(content, 1024);
		t.deepEqual(
			list(directories, directory, 0).map(([, , fileType]) => fileType),
			[shown],
		);
	}
});

test('lengths of entries in blocks of 64 KiB, as fs/ext4/ext4.h has them', (t) => {
	const stored = [0, 0xffff, 12, 0xfffc, 13, 14, 1];
	t.deepEqual(
		stored.map((length) => decodeRecordLength(length, 65536)),
		[65536, 65536, 12, 65532, 65536 + 12, 2 * 65536 + 12, 65536],
	);
	t.deepEqual(
		stored.map((length) => decodeRecordLength(length, 32768)),
		stored,
	);
});

for (const kibibytes of [1, 4, 32, 64]) test(`entries in blocks of ${kibibytes} KiB`, readsBack, kibibytes << 10);
