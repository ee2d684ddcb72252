/**
 * Replays the journal without writing: the result says which blocks of the volume are to be read from the log.
 *
 * The log is a ring of transactions with consecutive numbers. One is: descriptor blocks, each followed by the blocks
 * that it tells the places of; revoke blocks, which say "do not write this block from this transaction or an earlier
 * one, it has another use by now"; and a commit block, without which nothing of it counts. Three passes, as in
 * fs/jbd2/recovery.c (do_one_pass): *scan* finds where the committed transactions end, *revoke* collects the latest
 * revocation of every block, *replay* takes the latest copy of every block that is not revoked.
 *
 * Which damage ends the log quietly and which makes it unreadable is decided as the kernel's mount does: a block that
 * is not of the expected transaction ends the log; so does a wrong checksum in what was written before the transaction
 * that precedes it (the rest of an older journal). Any other wrong checksum is an error: what it would hide was
 * acknowledged once.
 */
import { crc32Be } from '../bytes/crc32-be.ts';
import { corrupt } from '../errors.ts';
import { isCommitRight, isLoggedBlockRight, isTailRight } from './journal-checksum.ts';
import type { JournalFile } from './journal-file.ts';
import {
	blockHeaderLayout,
	COMMIT_BLOCK,
	COMMIT_CHECKSUM_CRC32,
	commitLayout,
	DESCRIPTOR_BLOCK,
	JOURNAL_MAGIC,
	REVOKE_BLOCK,
} from './journal-layout.ts';
import { decodeRevoked, decodeTags } from './journal-tags.ts';

/** Where the replayed content of a block is. */
export interface LoggedBlock {
	/** On the device that holds the journal. */
	readonly byteOffset: number;
	readonly isEscaped: boolean;
}

export interface Replay {
	/** By the number of the block on the volume. */
	readonly blocks: ReadonlyMap<number, LoggedBlock>;
	/** The number of the first transaction that is not committed. */
	readonly endSequence: number;
}

/** `deviceBlocks` bounds the numbers in the log. Errors: `corrupt` where the kernel would refuse to mount. */
export function replayJournal(journal: JournalFile, deviceBlocks: number): Replay {
	const { sequence } = journal.superblock;
	const endSequence = scan(journal);
	const revoked = collectRevoked(journal, sequence, endSequence);
	return { blocks: collectBlocks(journal, sequence, endSequence, revoked, deviceBlocks), endSequence };
}

/** A place in the ring. Every block of a pass is new: a log that comes round to where it began is damaged. */
class LogCursor {
	readonly #journal: JournalFile;
	#next: number;
	#left: number;

	constructor(journal: JournalFile) {
		const { startBlock, logStart, logEnd } = journal.superblock;
		this.#journal = journal;
		this.#next = startBlock;
		this.#left = logEnd - logStart;
	}

	/** Takes the next block: its number in the journal. */
	take(): number {
		const { logStart, logEnd } = this.#journal.superblock;
		if (this.#left-- === 0) throw corrupt('journal-loop', `journal: its log of ${logEnd - logStart} blocks has no end`);
		const taken = this.#next;
		this.#next = taken + 1 === logEnd ? logStart : taken + 1;
		return taken;
	}

	/** Reads the next block, if it is one of transaction `sequence`. */
	takeBlock(sequence: number): { readonly type: number; readonly bytes: Buffer } | undefined {
		if (this.#left === 0) return undefined;
		const bytes = this.#journal.read(this.take());
		const header = blockHeaderLayout.decode(bytes);
		if (header.magic !== JOURNAL_MAGIC || header.sequence !== sequence) return undefined;
		return { type: header.type, bytes };
	}
}

const following = (sequence: number) => (sequence + 1) >>> 0;
/** Numbers of transactions go round at 2^32: compared by their difference (tid_gt). */
const isLater = (sequence: number, other: number) => ((sequence - other) | 0) > 0;

/** Returns the number of the first transaction that does not count. */
function scan(journal: JournalFile): number {
	const { superblock } = journal;
	const cursor = new LogCursor(journal);
	let sequence = superblock.sequence;
	let end: number | undefined;
	let lastCommitTime = 0n;
	let isDamaged = false;
	let sum = 0xffffffff;
	for (;;) {
		const block = cursor.takeBlock(sequence);
		if (block?.type === DESCRIPTOR_BLOCK) {
			if (!isTailRight(superblock, block.bytes)) isDamaged = true;
			if (superblock.hasChecksumV1) sum = crc32Be(sum, block.bytes);
			for (const _ of decodeTags(superblock, block.bytes)) {
				const logged = cursor.take();
				if (superblock.hasChecksumV1) sum = crc32Be(sum, journal.read(logged));
			}
		} else if (block?.type === REVOKE_BLOCK) {
			if (!isTailRight(superblock, block.bytes)) isDamaged = true;
		} else if (block?.type === COMMIT_BLOCK) {
			const commit = commitLayout.decode(block.bytes);
			const commitTime = (BigInt(commit.timeHigh) << 32n) | BigInt(commit.timeLow);
			const isStale = commitTime < lastCommitTime;
			if (isDamaged) {
				if (isStale) return end ?? sequence;
				throw corrupt('journal-checksum', `journal: transaction ${sequence} has a block with a wrong checksum`);
			}
			if (superblock.hasChecksumV1 && end !== undefined) throw corruptCommit(end);
			const isSound = superblock.hasChecksumV1 ? isSumRight(commit, sum) : isCommitRight(superblock, block.bytes);
			if (!isSound) {
				if (isStale) return end ?? sequence;
				if (!superblock.hasAsyncCommit) throw corruptCommit(sequence);
				// Written along with its transaction, not after it: the last one may be torn, and then does not count.
				end = sequence;
			}
			lastCommitTime = commitTime;
			sum = 0xffffffff;
			sequence = following(sequence);
		} else {
			return end ?? sequence;
		}
	}
}

function corruptCommit(sequence: number) {
	return corrupt('journal-commit', `journal: the commit block of transaction ${sequence} has a wrong checksum`);
}

/** The first kind of checksum: in the commit block, over descriptors and logged blocks; all zeros where it is not used. */
function isSumRight(commit: ReturnType<typeof commitLayout.decode>, sum: number): boolean {
	const { checksumType, checksumSize, checksum } = commit;
	if (checksumType === 0 && checksumSize === 0 && checksum === 0) return true;
	return checksumType === COMMIT_CHECKSUM_CRC32 && checksumSize === 4 && checksum === sum;
}

/** Calls `visit` for the blocks of the transactions from `sequence` to before `end`; it takes the blocks it knows of. */
function walkTransactions(
	journal: JournalFile,
	sequence: number,
	end: number,
	visit: (type: number, bytes: Buffer, sequence: number, cursor: LogCursor) => void,
): void {
	const cursor = new LogCursor(journal);
	let current = sequence;
	while (isLater(end, current)) {
		const block = cursor.takeBlock(current);
		if (!block) throw corrupt('journal-changed', `journal: transaction ${current} is not where it was a moment ago`);
		if (block.type === COMMIT_BLOCK) current = following(current);
		else visit(block.type, block.bytes, current, cursor);
	}
}

/** The latest transaction that revokes each block. */
function collectRevoked(journal: JournalFile, sequence: number, end: number): Map<number, number> {
	const revoked = new Map<number, number>();
	walkTransactions(journal, sequence, end, (type, bytes, current, cursor) => {
		if (type === DESCRIPTOR_BLOCK) {
			for (const _ of decodeTags(journal.superblock, bytes)) cursor.take();
			return;
		}
		const blocks = decodeRevoked(journal.superblock, bytes);
		if (!blocks)
			throw corrupt('journal-revoke', `journal: transaction ${current} has a revoke block with a wrong size`);
		for (const block of blocks) revoked.set(block, current);
	});
	return revoked;
}

function collectBlocks(
	journal: JournalFile,
	sequence: number,
	end: number,
	revoked: ReadonlyMap<number, number>,
	deviceBlocks: number,
): Map<number, LoggedBlock> {
	const { superblock } = journal;
	const blocks = new Map<number, LoggedBlock>();
	const content = Buffer.allocUnsafe(journal.place.blockSizeBytes);
	walkTransactions(journal, sequence, end, (type, bytes, current, cursor) => {
		if (type !== DESCRIPTOR_BLOCK) return;
		if (!isTailRight(superblock, bytes)) {
			throw corrupt('journal-checksum', `journal: transaction ${current} has a descriptor block with a wrong checksum`);
		}
		for (const { block, isEscaped, checksum } of decodeTags(superblock, bytes)) {
			const logged = cursor.take();
			const lastRevoked = revoked.get(block);
			if (lastRevoked !== undefined && !isLater(current, lastRevoked)) continue;
			if (block >= deviceBlocks) {
				throw corrupt(
					'journal-tag',
					`journal: transaction ${current} writes block ${block}, the volume has ${deviceBlocks}`,
				);
			}
			if (!isLoggedBlockRight(superblock, current, checksum, journal.read(logged, content))) {
				throw corrupt(
					'journal-checksum',
					`journal: transaction ${current}: its copy of block ${block} has a wrong checksum`,
				);
			}
			blocks.set(block, { byteOffset: journal.place.byteOffsetOf(logged), isEscaped });
		}
	});
	return blocks;
}
