import type { BlockDevice } from '../block/device.ts';
import { LineCache } from '../block/line-cache.ts';
import { corrupt, unsupported } from '../errors.ts';
import { BlockReader } from './block-reader.ts';
import { KNOWN_FEATURES } from './features.ts';
import { type BlockRun, FileBlocks } from './file-blocks.ts';
import { GroupDescriptors } from './group-descriptors.ts';
import { isRegular, readInode } from './inode.ts';
import { SUPERBLOCK_BYTE_OFFSET, SUPERBLOCK_MAGIC, superblockLayout } from './layout.ts';
import type { Superblock } from './superblock.ts';

const CACHE_BYTES = 1 << 20;

/** Where the blocks of a journal are: in a file of the volume, or on a device of their own. */
export interface JournalPlace {
	readonly device: BlockDevice;
	readonly blockSizeBytes: number;
	/** How many blocks there is room for. */
	readonly blockCount: number;
	/** The block with the journal's superblock. */
	readonly superblockBlock: number;
	/** Where on the device a block of the journal starts. Errors: `corrupt` for a hole, or a place outside the volume. */
	byteOffsetOf(journalBlock: number): number;
}

/** The journal of the volume on `device`. Errors: `corrupt` where the kernel would not find one there. */
export function journalInVolume(device: BlockDevice, superblock: Superblock): JournalPlace {
	const { blockSizeBytes, journalInode } = superblock;
	const blocks = new BlockReader(superblock, device, { cache: new LineCache(CACHE_BYTES) });
	const files = new FileBlocks(blocks);
	const inode = readInode(blocks, new GroupDescriptors(blocks), journalInode);
	if (!isRegular(inode) || inode.linkCount === 0) {
		throw corrupt('journal-inode', `inode ${inode.number}: holds the journal, but is no regular file in use`);
	}
	const blockCount = Math.min(Math.floor(inode.sizeBytes / blockSizeBytes), superblock.blockCount);
	if (blockCount === 0) throw corrupt('journal-inode', `inode ${inode.number}: holds the journal, but is empty`);

	let run: BlockRun & { readonly fileBlock: number } = { block: 0, count: 0, fileBlock: 0 };
	const locate = (journalBlock: number) => {
		const into = journalBlock - run.fileBlock;
		if (into >= 0 && into < run.count) return run.block + into;
		const found = files.runAt(inode, journalBlock);
		if (found.block === 0) throw corrupt('journal-hole', `journal: its block ${journalBlock} is a hole`);
		blocks.check(found.block, 1, 'journal', inode.number);
		run = { ...found, fileBlock: journalBlock };
		return found.block;
	};
	return {
		device,
		blockSizeBytes,
		blockCount,
		superblockBlock: 0,
		byteOffsetOf: (journalBlock) => locate(journalBlock) * blockSizeBytes,
	};
}

/**
 * A journal on a device of its own: an ext superblock that says so, the journal's superblock in the block after it, and
 * the log; here all blocks are numbered from the start of the device (fs/ext4/super.c, ext4_get_journal_blkdev).
 * Errors: `unsupported` (`external-journal`) for a device that is no journal, or another volume's.
 */
export function journalOnDevice(device: BlockDevice, superblock: Superblock): JournalPlace {
	const { blockSizeBytes, journalUuid } = superblock;
	const fail = (what: string) => unsupported('external-journal', `journal device: ${what}`);
	const end = SUPERBLOCK_BYTE_OFFSET + superblockLayout.sizeBytes;
	if (device.sizeBytes < Math.max(end, 2 * blockSizeBytes)) throw fail(`has only ${device.sizeBytes} bytes`);
	const bytes = Buffer.alloc(superblockLayout.sizeBytes);
	device.read(SUPERBLOCK_BYTE_OFFSET, bytes);
	const { magic, incompat, uuid, logBlockSize } = superblockLayout.decode(bytes);
	if (magic !== SUPERBLOCK_MAGIC || !(incompat & KNOWN_FEATURES.incompat.journal_dev))
		throw fail('is no external journal');
	if (Buffer.compare(uuid, journalUuid) !== 0) {
		throw fail(
			`is the journal ${Buffer.from(uuid).toString('hex')}, the volume's is ${Buffer.from(journalUuid).toString('hex')}`,
		);
	}
	if (1024 << logBlockSize !== blockSizeBytes)
		throw fail(`has blocks of 2^${10 + logBlockSize} bytes, the volume of ${blockSizeBytes}`);
	return {
		device,
		blockSizeBytes,
		blockCount: Math.floor(device.sizeBytes / blockSizeBytes),
		superblockBlock: Math.floor(SUPERBLOCK_BYTE_OFFSET / blockSizeBytes) + 1,
		byteOffsetOf: (journalBlock) => journalBlock * blockSizeBytes,
	};
}
