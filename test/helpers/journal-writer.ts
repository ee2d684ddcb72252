/**
 * Writes a log into the journal of an image as a crashed kernel would have left it, in every format that there is.
 * What is right is not decided here: the tests compare with the kernel, e2fsck and debugfs on the same image.
 */
import { crc32Be } from '../../src/bytes/crc32-be.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { commitChecksum, loggedBlockChecksum, tailChecksum } from '../../src/ext/journal-checksum.ts';
import { superblockChecksum } from '../../src/ext/journal-file.ts';
import * as layout from '../../src/ext/journal-layout.ts';
import { editImage, type ImageEditor } from './ext-edit.ts';
import { runOk } from './run.ts';

export interface JournalFormat {
	readonly checksum: 'none' | 'v1' | 'v2' | 'v3';
	readonly has64bit: boolean;
	readonly hasAsyncCommit: boolean;
	/** s_num_fc_blks of a journal with the feature `fast_commit`; undefined: it has not. */
	readonly fastCommitBlocks?: number;
}

export interface Transaction {
	readonly writes: readonly { readonly block: number; readonly content: Buffer }[];
	readonly revokes: readonly number[];
	readonly isCommitted: boolean;
	readonly timeSec: number;
}

export interface Log {
	/** Where the first transaction starts, in the journal; undefined: at the start of the log. */
	readonly startBlock?: number;
	/** The block behind the last one of the ring; undefined: the journal's end. */
	readonly ringEnd?: number;
	readonly sequence: number;
	readonly transactions: readonly Transaction[];
}

/** A block that was written into the log. */
export interface PlacedBlock {
	readonly kind: 'descriptor' | 'data' | 'revoke' | 'commit';
	/** Position in the list of transactions. */
	readonly transaction: number;
	/** A block of the volume. */
	readonly at: number;
}

const NEEDS_RECOVERY = 0x4;
const { JOURNAL_MAGIC, JOURNAL_INCOMPAT } = layout;

/** Where the journal in a volume is, as debugfs says: its blocks in their order, and those that map them. */
export async function journalBlocksOf(image: string): Promise<number[]> {
	const listed = (await runOk('debugfs', ['-R', 'blocks <8>', image])).toString();
	return listed.trim().split(/\s+/).map(Number);
}

/** Returns the blocks in the order of the log. */
export async function writeJournal(image: string, format: JournalFormat, log: Log): Promise<PlacedBlock[]> {
	const journalBlocks = await journalBlocksOf(image);
	return editImage(image, (editor) => new JournalWriter(editor, format, journalBlocks).write(log));
}

class JournalWriter {
	readonly #editor: ImageEditor;
	readonly #format: JournalFormat;
	readonly #journalBlocks: readonly number[];
	readonly #blockSizeBytes: number;
	readonly #placed: PlacedBlock[] = [];
	readonly #header: ReturnType<typeof layout.journalSuperblockLayout.decode>;
	#seed = 0;
	#next = 0;
	#ringEnd = 0;
	#sum = 0;

	constructor(editor: ImageEditor, format: JournalFormat, journalBlocks: readonly number[]) {
		this.#editor = editor;
		this.#format = format;
		this.#journalBlocks = journalBlocks;
		this.#blockSizeBytes = 1024 << editor.superblock().logBlockSize;
		this.#header = layout.journalSuperblockLayout.decode(this.#read(0));
	}

	write(log: Log): PlacedBlock[] {
		this.#next = log.startBlock ?? this.#header.firstLogBlock;
		this.#ringEnd = log.ringEnd ?? this.#header.blockCount;
		this.#writeSuperblock(log);
		log.transactions.forEach((transaction, index) => {
			const sequence = (log.sequence + index) >>> 0;
			this.#sum = 0xffffffff;
			if (transaction.revokes.length > 0) this.#writeRevokes(transaction.revokes, sequence, index);
			this.#writeData(transaction, sequence, index);
			if (transaction.isCommitted) this.#writeCommit(transaction, sequence, index);
		});
		// What follows belongs to nothing.
		this.#place(Buffer.alloc(this.#blockSizeBytes), 'data', -1);
		this.#placed.pop();
		const { incompat } = this.#editor.superblock();
		this.#editor.setSuperblock({ incompat: incompat | NEEDS_RECOVERY });
		return this.#placed;
	}

	get #hasTails(): boolean {
		return this.#format.checksum === 'v2' || this.#format.checksum === 'v3';
	}

	#writeSuperblock(log: Log): void {
		const { checksum, has64bit, hasAsyncCommit, fastCommitBlocks } = this.#format;
		const block = this.#read(0);
		this.#seed = crc32c(0xffffffff, this.#header.uuid);
		layout.journalSuperblockLayout.encode(
			{
				type: layout.SUPERBLOCK_V2,
				sequence: log.sequence,
				startBlock: this.#next,
				compat: checksum === 'v1' ? layout.COMPAT_CHECKSUM : 0,
				incompat:
					JOURNAL_INCOMPAT.journal_incompat_revoke |
					(has64bit ? JOURNAL_INCOMPAT.journal_64bit : 0) |
					(hasAsyncCommit ? JOURNAL_INCOMPAT.journal_async_commit : 0) |
					(fastCommitBlocks === undefined ? 0 : JOURNAL_INCOMPAT.fast_commit) |
					(checksum === 'v2' ? JOURNAL_INCOMPAT.journal_checksum_v2 : 0) |
					(checksum === 'v3' ? JOURNAL_INCOMPAT.journal_checksum_v3 : 0),
				checksumType: this.#hasTails ? layout.JOURNAL_CHECKSUM_CRC32C : 0,
				...(fastCommitBlocks === undefined ? {} : { fastCommitBlocks }),
			},
			block,
		);
		layout.journalSuperblockLayout.encode({ checksum: this.#hasTails ? superblockChecksum(block) : 0 }, block);
		this.#editor.write(this.#journalBlocks[0]! * this.#blockSizeBytes, block);
	}

	#writeRevokes(revokes: readonly number[], sequence: number, transaction: number): void {
		const block = this.#emptyBlock(layout.REVOKE_BLOCK, sequence);
		const recordBytes = this.#format.has64bit ? 8 : 4;
		let at = layout.revokeHeaderLayout.sizeBytes;
		for (const revoked of revokes) {
			if (this.#format.has64bit) block.writeBigUInt64BE(BigInt(revoked), at);
			else block.writeUInt32BE(revoked, at);
			at += recordBytes;
		}
		layout.revokeHeaderLayout.encode({ usedBytes: at }, block);
		this.#place(this.#withTail(block), 'revoke', transaction);
	}

	/** One descriptor for as many blocks as its tags have room for, then those blocks; the next descriptor. */
	#writeData({ writes }: Transaction, sequence: number, transaction: number): void {
		const tagBytes = this.#tagBytes();
		const room = this.#blockSizeBytes - 12 - 16 - (this.#hasTails ? 4 : 0);
		const perDescriptor = Math.floor(room / tagBytes);
		for (let first = 0; first < writes.length; first += perDescriptor) {
			const part = writes.slice(first, first + perDescriptor);
			const stored = part.map(({ content }) => asStored(content));
			const descriptor = this.#emptyBlock(layout.DESCRIPTOR_BLOCK, sequence);
			let at = layout.blockHeaderLayout.sizeBytes;
			part.forEach(({ block, content }, i) => {
				const flags =
					(asStored(content) === content ? 0 : layout.TAG_ESCAPE) |
					(i === 0 ? 0 : layout.TAG_SAME_UUID) |
					(i === part.length - 1 ? layout.TAG_LAST : 0);
				this.#writeTag(descriptor, at, block, flags, loggedBlockChecksum(this.#seed, sequence, stored[i]!));
				at += tagBytes + (i === 0 ? 16 : 0);
			});
			this.#place(this.#withTail(descriptor), 'descriptor', transaction);
			for (const block of stored) this.#place(block, 'data', transaction);
		}
	}

	#writeTag(descriptor: Buffer, at: number, block: number, flags: number, checksum: number): void {
		const blockLow = block >>> 0;
		const blockHigh = Math.floor(block / 2 ** 32);
		if (this.#format.checksum === 'v3') {
			layout.tag3Layout.encode({ blockLow, flags, blockHigh, checksum }, descriptor, at);
			return;
		}
		const v2 = this.#format.checksum === 'v2' ? checksum & 0xffff : 0;
		layout.tagLayout.encode({ blockLow, checksum: v2, flags }, descriptor, at);
		if (this.#format.has64bit) layout.tagLayout.encode({ blockHigh }, descriptor, at);
	}

	#tagBytes(): number {
		if (this.#format.checksum === 'v3') return 16;
		return 8 + (this.#format.has64bit ? 4 : 0) + (this.#format.checksum === 'v2' ? 2 : 0);
	}

	#writeCommit(transaction: Transaction, sequence: number, index: number): void {
		const block = this.#emptyBlock(layout.COMMIT_BLOCK, sequence);
		const { timeSec } = transaction;
		layout.commitLayout.encode({ timeLow: timeSec % 2 ** 32, timeHigh: Math.floor(timeSec / 2 ** 32) }, block);
		if (this.#format.checksum === 'v1') {
			layout.commitLayout.encode({ checksumType: 1, checksumSize: 4, checksum: this.#sum }, block);
		} else if (this.#hasTails) {
			layout.commitLayout.encode({ checksum: commitChecksum(this.#seed, block) }, block);
		}
		this.#place(block, 'commit', index);
	}

	#emptyBlock(type: number, sequence: number): Buffer {
		return layout.blockHeaderLayout.encode(
			{ magic: JOURNAL_MAGIC, type, sequence },
			Buffer.alloc(this.#blockSizeBytes),
		);
	}

	#withTail(block: Buffer): Buffer {
		if (this.#hasTails) block.writeUInt32BE(tailChecksum(this.#seed, block), block.length - 4);
		return block;
	}

	#place(content: Buffer, kind: PlacedBlock['kind'], transaction: number): void {
		if (kind !== 'revoke' && kind !== 'commit') this.#sum = crc32Be(this.#sum, content);
		const at = this.#journalBlocks[this.#next]!;
		this.#editor.write(at * this.#blockSizeBytes, content);
		this.#placed.push({ kind, transaction, at });
		this.#next = this.#next + 1 === this.#ringEnd ? this.#header.firstLogBlock : this.#next + 1;
	}

	#read(journalBlock: number): Buffer {
		return this.#editor.read(this.#journalBlocks[journalBlock]! * this.#blockSizeBytes, this.#blockSizeBytes);
	}
}

/** As it is stored: a block that starts like one of the journal's own gets zeros there. */
function asStored(content: Buffer): Buffer {
	if (content.readUInt32BE(0) !== JOURNAL_MAGIC) return content;
	const escaped = Buffer.from(content);
	escaped.writeUInt32BE(0, 0);
	return escaped;
}
