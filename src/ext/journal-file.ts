import { crc32c, crc32cOfZeros } from '../bytes/crc32c.ts';
import { corrupt, unsupported } from '../errors.ts';
import * as layout from './journal-layout.ts';
import type { JournalPlace } from './journal-place.ts';

/** The journal's superblock, decoded and checked; its blocks are numbered from the start of the journal. */
export interface JournalSuperblock {
	/** The log is a ring of the blocks from here to before `logEnd`. */
	readonly logStart: number;
	readonly logEnd: number;
	/**
	 * Fast commits have the blocks from here to before `blockCount`, the journal's end. The block between them and the log
	 * is not used (jbd2_journal_initialize_fast_commit).
	 */
	readonly fastCommitStart: number;
	readonly blockCount: number;
	/** The first transaction to replay, and the block where it starts; 0 means that there is none. */
	readonly sequence: number;
	readonly startBlock: number;
	/** The older kind of superblock, which has no features. */
	readonly isVersion1: boolean;
	readonly hasChecksumV1: boolean;
	readonly hasChecksumV2: boolean;
	readonly hasChecksumV3: boolean;
	readonly has64bit: boolean;
	readonly hasAsyncCommit: boolean;
	readonly hasFastCommit: boolean;
	readonly checksumSeed: number;
}

/** A journal: its superblock, and its blocks wherever they are. */
export class JournalFile {
	readonly superblock: JournalSuperblock;
	readonly place: JournalPlace;

	/** Errors: `corrupt` for a journal that the kernel would refuse; `unsupported` for features that it does not know. */
	constructor(place: JournalPlace) {
		this.place = place;
		this.superblock = decodeJournalSuperblock(this.read(place.superblockBlock), place);
	}

	/** A copy of a block of the journal. */
	read(journalBlock: number, into: Buffer = Buffer.allocUnsafe(this.place.blockSizeBytes)): Buffer {
		this.place.device.read(this.place.byteOffsetOf(journalBlock), into);
		return into;
	}
}

/** As fs/jbd2/journal.c, journal_check_superblock, journal_load_superblock and journal_reset. */
function decodeJournalSuperblock(block: Buffer, place: JournalPlace): JournalSuperblock {
	const { blockSizeBytes, blockCount, superblockBlock } = place;
	const raw = layout.journalSuperblockLayout.decode(block);
	const fail = (what: string) => corrupt('journal-superblock', `journal superblock: ${what}`);
	if (raw.magic !== layout.JOURNAL_MAGIC)
		throw fail(`its magic number is 0x${raw.magic.toString(16)}, expected 0xc03b3998`);
	if (raw.type !== layout.SUPERBLOCK_V1 && raw.type !== layout.SUPERBLOCK_V2) throw fail(`is of type ${raw.type}`);
	if (raw.blockSizeBytes !== blockSizeBytes)
		throw fail(`says blocks of ${raw.blockSizeBytes} bytes, expected ${blockSizeBytes}`);
	if (raw.blockCount > blockCount) throw fail(`says ${raw.blockCount} blocks, but there is room for ${blockCount}`);
	if (raw.firstLogBlock <= superblockBlock || raw.firstLogBlock >= raw.blockCount) {
		throw fail(`its log starts at block ${raw.firstLogBlock} of ${raw.blockCount}`);
	}
	if (raw.firstLogBlock + layout.MIN_LOG_BLOCKS > raw.blockCount + 1) {
		throw fail(`its log has blocks ${raw.firstLogBlock} to ${raw.blockCount - 1}, fewer than a journal has`);
	}
	const isVersion1 = raw.type === layout.SUPERBLOCK_V1;
	const features = isVersion1 ? { compat: 0, incompat: 0, roCompat: 0 } : raw;
	checkFeatures(features, raw.checksumType, fail);
	const has = (name: keyof typeof layout.JOURNAL_INCOMPAT) => (features.incompat & layout.JOURNAL_INCOMPAT[name]) !== 0;
	const hasChecksums = has('journal_checksum_v2') || has('journal_checksum_v3');
	if (hasChecksums && superblockChecksum(block) !== raw.checksum) throw fail('its checksum does not fit its content');
	const fastCommitBlocks = raw.fastCommitBlocks || layout.DEFAULT_FAST_COMMIT_BLOCKS;
	const logEnd = raw.blockCount - (has('fast_commit') ? fastCommitBlocks : 0);
	if (logEnd < layout.MIN_LOG_BLOCKS) {
		throw fail(`${fastCommitBlocks} of its ${raw.blockCount} blocks are for fast commits, which leaves too few`);
	}
	const isInLog = raw.startBlock >= raw.firstLogBlock && raw.startBlock < logEnd;
	if (raw.startBlock !== 0 && !isInLog) {
		throw fail(
			`its first transaction is at block ${raw.startBlock}, the log has ${raw.firstLogBlock} to ${logEnd - 1}`,
		);
	}
	return {
		logStart: raw.firstLogBlock,
		logEnd,
		fastCommitStart: logEnd + 1,
		blockCount: raw.blockCount,
		sequence: raw.sequence,
		startBlock: raw.startBlock,
		isVersion1,
		hasChecksumV1: (features.compat & layout.COMPAT_CHECKSUM) !== 0,
		hasChecksumV2: has('journal_checksum_v2'),
		hasChecksumV3: has('journal_checksum_v3'),
		has64bit: has('journal_64bit'),
		hasAsyncCommit: has('journal_async_commit'),
		hasFastCommit: has('fast_commit'),
		checksumSeed: crc32c(0xffffffff, raw.uuid),
	};
}

function checkFeatures(
	{ compat, incompat, roCompat }: { compat: number; incompat: number; roCompat: number },
	checksumType: number,
	fail: (what: string) => Error,
): void {
	const known = Object.values(layout.JOURNAL_INCOMPAT).reduce((all, bit) => all | bit, 0);
	const unknown = (incompat & ~known) >>> 0;
	if (unknown !== 0 || roCompat !== 0) {
		throw unsupported(
			'journal-features',
			`journal superblock: uses features that this version does not know (incompat 0x${unknown.toString(16)}, ro_compat 0x${roCompat.toString(16)})`,
		);
	}
	const v2 = incompat & layout.JOURNAL_INCOMPAT.journal_checksum_v2;
	const v3 = incompat & layout.JOURNAL_INCOMPAT.journal_checksum_v3;
	if (v2 && v3) throw fail('has checksums of version 2 and 3 at once');
	if ((v2 || v3) && compat & layout.COMPAT_CHECKSUM) throw fail('has checksums of version 1 and a later one at once');
	if ((v2 || v3) && checksumType !== layout.JOURNAL_CHECKSUM_CRC32C)
		throw fail(`has checksums of the unknown type ${checksumType}`);
}

/** Over the 1024 bytes, with the checksum itself as zeros. */
export function superblockChecksum(block: Buffer): number {
	const at = layout.journalSuperblockLayout.at.checksum;
	const crc = crc32cOfZeros(crc32c(0xffffffff, block, 0, at), 4);
	return crc32c(crc, block, at + 4, layout.journalSuperblockLayout.sizeBytes);
}
