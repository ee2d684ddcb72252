import type { BlockDevice } from '../block/device.ts';
import { unsupported } from '../errors.ts';
import { BlockReader } from './block-reader.ts';
import { hasPendingFastCommits } from './fast-commit.ts';
import { FileBlocks } from './file-blocks.ts';
import { GroupDescriptors } from './group-descriptors.ts';
import { readInode } from './inode.ts';
import { JournalFile } from './journal-file.ts';
import { JournalOverlay } from './journal-overlay.ts';
import { replayJournal } from './journal-replay.ts';
import type { Superblock } from './superblock.ts';

const CACHE_BYTES = 1 << 20;

/**
 * The device as it is to be read: with the journal's committed transactions over it where the volume was not cleanly
 * unmounted, or else the device itself. Like the kernel, this believes the superblock's `needs_recovery`: without it,
 * whatever is in the log is old.
 * Errors: `unsupported` for an external journal and for pending fast commits; `corrupt` where the kernel would not mount.
 */
export function withJournal(device: BlockDevice, superblock: Superblock): BlockDevice {
	const { features, journalInode, blockSizeBytes } = superblock;
	if (!features.has('needs_recovery') || !features.has('has_journal')) return device;
	if (journalInode === 0) {
		throw unsupported(
			'external-journal',
			'superblock: the volume was not cleanly unmounted, and its journal is on another device; mount it once to replay it',
		);
	}
	const blocks = new BlockReader(superblock, device, { cacheBytes: CACHE_BYTES });
	const inode = readInode(blocks, new GroupDescriptors(blocks), journalInode);
	const journal = new JournalFile(blocks, new FileBlocks(blocks), inode);
	if (journal.superblock.startBlock === 0) return device;
	const replay = replayJournal(journal, Math.floor(device.sizeBytes / blockSizeBytes));
	if (journal.superblock.hasFastCommit && hasPendingFastCommits(journal, replay.endSequence)) {
		throw unsupported(
			'fast-commits-pending',
			'journal: the last changes are fast commits, which this version cannot replay; mount the volume once, or freeze it for the copy',
		);
	}
	return replay.blocks.size === 0 ? device : new JournalOverlay(device, blockSizeBytes, replay.blocks);
}
