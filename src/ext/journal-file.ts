import { crc32c, crc32cOfZeros } from '../bytes/crc32c.ts';
import { corrupt, unsupported } from '../errors.ts';
import type { BlockReader } from './block-reader.ts';
import type { BlockRun, FileBlocks } from './file-blocks.ts';
import { type Inode, isRegular } from './inode.ts';
import * as layout from './journal-layout.ts';

/** The journal's superblock, decoded and checked; its blocks are numbered from the start of the journal. */
export interface JournalSuperblock {
	/** The log is a ring of the blocks from here to before `logEnd`. */
	readonly logStart: number;
	readonly logEnd: number;
	/** Fast commits have the blocks from `logEnd` to before this one: the journal's end. */
	readonly blockCount: number;
	/** The first transaction to replay, and the block where it starts; 0 means that there is none. */
	readonly sequence: number;
	readonly startBlock: number;
	readonly hasChecksumV1: boolean;
	readonly hasChecksumV2: boolean;
	readonly hasChecksumV3: boolean;
	readonly has64bit: boolean;
	readonly hasAsyncCommit: boolean;
	readonly hasFastCommit: boolean;
	readonly checksumSeed: number;
}

/** The file that holds the journal: its superblock, and its blocks wherever on the volume they are. */
export class JournalFile {
	readonly superblock: JournalSuperblock;
	readonly blockSizeBytes: number;
	readonly #blocks: BlockReader;
	readonly #inode: Inode;
	readonly #files: FileBlocks;
	#run: BlockRun & { readonly fileBlock: number } = { block: 0, count: 0, fileBlock: 0 };

	/**
	 * Errors: `corrupt` for a journal that the kernel would refuse; `unsupported` for features that it does not know.
	 */
	constructor(blocks: BlockReader, files: FileBlocks, inode: Inode) {
		if (!isRegular(inode) || inode.linkCount === 0) {
			throw corrupt('journal-inode', `inode ${inode.number}: holds the journal, but is no regular file in use`);
		}
		this.#blocks = blocks;
		this.#files = files;
		this.#inode = inode;
		this.blockSizeBytes = blocks.superblock.blockSizeBytes;
		const fileBlocks = Math.min(Math.floor(inode.sizeBytes / this.blockSizeBytes), blocks.superblock.blockCount);
		if (fileBlocks === 0) throw corrupt('journal-inode', `inode ${inode.number}: holds the journal, but is empty`);
		this.superblock = decodeJournalSuperblock(this.read(0), this.blockSizeBytes, fileBlocks);
	}

	/** Where a block of the journal is on the volume. */
	locate(journalBlock: number): number {
		const into = journalBlock - this.#run.fileBlock;
		if (into >= 0 && into < this.#run.count) return this.#run.block + into;
		const run = this.#files.runAt(this.#inode, journalBlock);
		if (run.block === 0) throw corrupt('journal-hole', `journal: its block ${journalBlock} is a hole`);
		this.#run = { ...run, fileBlock: journalBlock };
		return run.block;
	}

	/** A copy of a block of the journal. */
	read(journalBlock: number, into: Buffer = Buffer.allocUnsafe(this.blockSizeBytes)): Buffer {
		this.#blocks.readData(this.locate(journalBlock), 0, into, this.#inode.number);
		return into;
	}
}

/** As fs/jbd2/journal.c, journal_check_superblock and journal_load_superblock. */
function decodeJournalSuperblock(block: Buffer, blockSizeBytes: number, fileBlocks: number): JournalSuperblock {
	const raw = layout.journalSuperblockLayout.decode(block);
	const fail = (what: string) => corrupt('journal-superblock', `journal superblock: ${what}`);
	if (raw.magic !== layout.JOURNAL_MAGIC)
		throw fail(`its magic number is 0x${raw.magic.toString(16)}, expected 0xc03b3998`);
	if (raw.type !== layout.SUPERBLOCK_V1 && raw.type !== layout.SUPERBLOCK_V2) throw fail(`is of type ${raw.type}`);
	if (raw.blockSizeBytes !== blockSizeBytes)
		throw fail(`says blocks of ${raw.blockSizeBytes} bytes, expected ${blockSizeBytes}`);
	if (raw.blockCount > fileBlocks) throw fail(`says ${raw.blockCount} blocks, but its file has ${fileBlocks}`);
	if (raw.firstLogBlock === 0 || raw.firstLogBlock >= raw.blockCount) {
		throw fail(`its log starts at block ${raw.firstLogBlock} of ${raw.blockCount}`);
	}
	const features = raw.type === layout.SUPERBLOCK_V2 ? raw : { compat: 0, incompat: 0, roCompat: 0 };
	checkFeatures(features, raw.checksumType, fail);
	const has = (name: keyof typeof layout.JOURNAL_INCOMPAT) => (features.incompat & layout.JOURNAL_INCOMPAT[name]) !== 0;
	const hasChecksums = has('journal_checksum_v2') || has('journal_checksum_v3');
	if (hasChecksums && superblockChecksum(block) !== raw.checksum) throw fail('its checksum does not fit its content');
	const logEnd = raw.blockCount - (has('fast_commit') ? fastCommitBlocks(raw) : 0);
	const isInLog = raw.startBlock >= raw.firstLogBlock && raw.startBlock < logEnd;
	if (raw.startBlock !== 0 && !isInLog) {
		throw fail(
			`its first transaction is at block ${raw.startBlock}, the log has ${raw.firstLogBlock} to ${logEnd - 1}`,
		);
	}
	return {
		logStart: raw.firstLogBlock,
		logEnd,
		blockCount: raw.blockCount,
		sequence: raw.sequence,
		startBlock: raw.startBlock,
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

function fastCommitBlocks({
	fastCommitBlocks: stored,
	blockCount,
}: {
	fastCommitBlocks: number;
	blockCount: number;
}): number {
	const count = stored === 0 ? layout.DEFAULT_FAST_COMMIT_BLOCKS : stored;
	return blockCount - count >= layout.MIN_LOG_BLOCKS ? count : 0;
}

/** Over the 1024 bytes, with the checksum itself as zeros. */
export function superblockChecksum(block: Buffer): number {
	const at = layout.journalSuperblockLayout.at.checksum;
	const crc = crc32cOfZeros(crc32c(0xffffffff, block, 0, at), 4);
	return crc32c(crc, block, at + 4, layout.journalSuperblockLayout.sizeBytes);
}
