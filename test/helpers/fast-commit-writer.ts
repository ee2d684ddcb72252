/** Writes a fast commit into the journal of an image, behind a transaction that changes nothing. */

import { FileDevice } from '../../src/block/file-device.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import * as layout from '../../src/ext/fast-commit-layout.ts';
import { readSuperblock } from '../../src/ext/filesystem.ts';
import { JournalFile, superblockChecksum } from '../../src/ext/journal-file.ts';
import { JOURNAL_INCOMPAT, journalSuperblockLayout } from '../../src/ext/journal-layout.ts';
import { journalInVolume } from '../../src/ext/journal-place.ts';
import { editImage } from './ext-edit.ts';
import { writeJournal } from './journal-writer.ts';

export interface NameChange {
	readonly kind: 'link' | 'unlink';
	readonly directory: number;
	readonly inode: number;
	readonly name: string;
}

const SEQUENCE = 7;
const FORMAT = { checksum: 'v3', has64bit: true, hasAsyncCommit: false } as const;

export async function writeFastCommit(image: string, changes: readonly NameChange[]): Promise<void> {
	const { place, blockSizeBytes, lastBlock } = withJournalOf(image, (journal) => ({
		place: (block: number) => journal.place.byteOffsetOf(block),
		...{ blockSizeBytes: journal.place.blockSizeBytes, lastBlock: readSuperblock(journal.place.device).blockCount - 1 },
	}));
	const transaction = { writes: [{ block: lastBlock, content: Buffer.alloc(blockSizeBytes) }], revokes: [] };
	const transactions = [{ ...transaction, isCommitted: true, timeSec: 1000 }];
	await writeJournal(image, FORMAT, { sequence: SEQUENCE, transactions });
	editImage(image, (editor) =>
		editor.patch(place(0), blockSizeBytes, (block) => {
			const { incompat } = journalSuperblockLayout.decode(block);
			journalSuperblockLayout.encode({ incompat: incompat | JOURNAL_INCOMPAT.fast_commit }, block);
			journalSuperblockLayout.encode({ checksum: superblockChecksum(block) }, block);
		}),
	);
	const start = withJournalOf(image, ({ superblock, place: at }) => at.byteOffsetOf(superblock.fastCommitStart));
	editImage(image, (editor) => editor.write(start, encodeFastCommit(changes, SEQUENCE + 1, blockSizeBytes)));
}

function withJournalOf<T>(image: string, use: (journal: JournalFile) => T): T {
	const device = FileDevice.open(image, 'read');
	try {
		return use(new JournalFile(journalInVolume(device, readSuperblock(device))));
	} finally {
		device.close();
	}
}

function encodeFastCommit(changes: readonly NameChange[], sequence: number, blockSizeBytes: number): Buffer {
	const before = Buffer.concat([
		record(layout.TAG_HEAD, layout.headLayout.encode({ features: 0, sequence })),
		...changes.map(({ kind, directory, inode, name }) =>
			record(
				kind === 'link' ? layout.TAG_LINK : layout.TAG_UNLINK,
				Buffer.concat([layout.nameLayout.encode({ directory, inode }), Buffer.from(name)]),
			),
		),
	]);
	// The tail takes the rest of the block.
	const block = Buffer.alloc(blockSizeBytes);
	before.copy(block);
	const value = before.length + layout.RECORD_BYTES;
	layout.recordLayout.encode({ tag: layout.TAG_TAIL, lengthBytes: blockSizeBytes - value }, block, before.length);
	layout.tailLayout.encode({ sequence }, block, value);
	const checksum = crc32c(0, block, 0, value + layout.tailLayout.at.checksum);
	layout.tailLayout.encode({ checksum }, block, value);
	return block;
}

const record = (tag: number, value: Buffer) =>
	Buffer.concat([layout.recordLayout.encode({ tag, lengthBytes: value.length }), value]);
