import type { BlockDevice } from '../block/device.ts';
import { corrupt, NoonmarkError, type PlainError, plainError, unsupported } from '../errors.ts';
import { type FastCommit, readFastCommits } from './fast-commit.ts';
import { JournalFile } from './journal-file.ts';
import { JournalOverlay } from './journal-overlay.ts';
import { type JournalPlace, journalInVolume, journalOnDevice } from './journal-place.ts';
import { type Replay, replayJournal } from './journal-replay.ts';
import type { Superblock } from './superblock.ts';

/** What the journal of a volume says. Plain data. */
export type JournalState =
	/** The volume has none. */
	| { readonly kind: 'none' }
	/** Cleanly unmounted, or frozen: there is nothing to replay. */
	| { readonly kind: 'clean' }
	| {
			readonly kind: 'needs-replay';
			/** The transactions, from the first one to before `endSequence`; numbers go round at 2^32. */
			readonly firstSequence: number;
			readonly endSequence: number;
			readonly transactionCount: number;
			/** Blocks of the volume that the replay changes. */
			readonly blockCount: number;
			/** Fast commits after the last transaction. */
			readonly fastCommitCount: number;
	  }
	/** The kernel would refuse to mount the volume, and so does this reader: why. */
	| { readonly kind: 'damaged'; readonly error: PlainError }
	/** It uses what this reader does not know, or is on another device: what. */
	| { readonly kind: 'unsupported'; readonly error: PlainError };

/** The state of the journal. `device` is the volume as it lies on the disk. Errors: `io` alone; damage is an answer. */
export function journalState(device: BlockDevice, superblock: Superblock, journalDevice?: BlockDevice): JournalState {
	if (!superblock.features.has('has_journal')) return { kind: 'none' };
	try {
		const pending = readPending(device, superblock, journalDevice);
		if (!pending) return { kind: 'clean' };
		const { journal, replay, fastCommits } = pending;
		const { sequence } = journal.superblock;
		return {
			kind: 'needs-replay',
			firstSequence: sequence,
			endSequence: replay.endSequence,
			transactionCount: (replay.endSequence - sequence) >>> 0,
			blockCount: replay.blocks.size,
			fastCommitCount: fastCommits.length,
		};
	} catch (error) {
		if (!(error instanceof NoonmarkError) || error.family === 'io') throw error;
		return { kind: error.family === 'corrupt' ? 'damaged' : 'unsupported', error: plainError(error) };
	}
}

/** A volume after its log was replayed. */
export interface ReplayedVolume {
	/** With the committed transactions over it; the device itself where there are none. */
	readonly device: BlockDevice;
	/** What is still to be carried out on top (fast-commit-edits.ts). */
	readonly fastCommits: readonly FastCommit[];
}

/**
 * The volume as it is to be read, where it was not cleanly unmounted. `journalDevice` holds the journal where that is not
 * in the volume.
 * Errors: `unsupported` for an external journal that is not given; `corrupt` where the kernel would not mount.
 */
export function withJournal(device: BlockDevice, superblock: Superblock, journalDevice?: BlockDevice): ReplayedVolume {
	const pending = readPending(device, superblock, journalDevice);
	if (!pending) return { device, fastCommits: [] };
	const { journal, replay, fastCommits } = pending;
	const replayed = replay.blocks.size === 0 ? device : new JournalOverlay(device, journal.place, replay.blocks);
	return { device: replayed, fastCommits };
}

interface Pending {
	readonly journal: JournalFile;
	readonly replay: Replay;
	readonly fastCommits: readonly FastCommit[];
}

/**
 * What there is to replay. Like the kernel, this believes the superblock's `needs_recovery`: without it, whatever is in
 * the log is old.
 */
function readPending(
	device: BlockDevice,
	superblock: Superblock,
	journalDevice: BlockDevice | undefined,
): Pending | undefined {
	const { features, blockSizeBytes, inodeSizeBytes } = superblock;
	if (!features.has('needs_recovery') || !features.has('has_journal')) return undefined;
	const journal = openJournal(device, superblock, journalDevice);
	if (journal.superblock.startBlock === 0) return undefined;
	const replay = replayJournal(journal, Math.floor(device.sizeBytes / blockSizeBytes));
	const fastCommits = journal.superblock.hasFastCommit
		? readFastCommits(journal, replay.endSequence, inodeSizeBytes)
		: [];
	return { journal, replay, fastCommits };
}

/** These features of a volume are also features of its journal, which the kernel sets at each mount. */
const SHARED_WITH_JOURNAL = ['64bit', 'metadata_csum', 'fast_commit'] as const;

function openJournal(device: BlockDevice, superblock: Superblock, journalDevice: BlockDevice | undefined): JournalFile {
	const journal = new JournalFile(journalPlace(device, superblock, journalDevice));
	const shared = SHARED_WITH_JOURNAL.filter((name) => superblock.features.has(name));
	if (journal.superblock.isVersion1 && shared.length > 0) {
		throw corrupt(
			'journal-superblock',
			`journal superblock: is of version 1, which has no features; the volume has ${shared.join(', ')}`,
		);
	}
	return journal;
}

function journalPlace(
	device: BlockDevice,
	superblock: Superblock,
	journalDevice: BlockDevice | undefined,
): JournalPlace {
	if (superblock.journalInode !== 0) return journalInVolume(device, superblock);
	if (!journalDevice) {
		throw unsupported(
			'external-journal',
			'superblock: the volume was not cleanly unmounted, and its journal is on another device, which is not given; mount it once to replay it',
		);
	}
	return journalOnDevice(journalDevice, superblock);
}
