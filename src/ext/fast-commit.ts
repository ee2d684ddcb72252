/**
 * Fast commits: what an fsync wrote after the log's last transaction, instead of a transaction of its own. They say what
 * was done (a name was linked, a range was mapped), not what blocks became of it; fast-commit-edits.ts does it again.
 */
import { crc32c } from '../bytes/crc32c.ts';
import { corrupt, unsupported } from '../errors.ts';
import {
	decodeRecord,
	type FastCommitRecord,
	headLayout,
	isLengthRight,
	RECORD_BYTES,
	recordLayout,
	TAG_HEAD,
	TAG_TAIL,
	tailLayout,
} from './fast-commit-layout.ts';
import type { JournalFile } from './journal-file.ts';

/** Far more than the default area of 256 blocks can hold; the kernel keeps none for longer than 5 s. */
const MAX_RECORDS = 1 << 17;

/** One fast commit. */
export type FastCommit = readonly FastCommitRecord[];

/**
 * The fast commits that follow the log's last transaction `sequence - 1`. As fs/ext4/fast_commit.c, ext4_fc_replay_scan:
 * they count up to the last tail that has the right number and checksum; whatever is wrong behind it was not finished.
 * Errors: `corrupt` where the first one is wrong: the kernel would not mount; `unsupported` for what it does not know.
 */
export function readFastCommits(journal: JournalFile, sequence: number, inodeSizeBytes: number): FastCommit[] {
	const { fastCommitStart, blockCount } = journal.superblock;
	const finished: FastCommit[] = [];
	let records: FastCommitRecord[] = [];
	let recordCount = 0;
	let crc = 0;
	const end = (wrong: string): FastCommit[] => {
		if (finished.length > 0) return finished;
		throw corrupt('journal-fast-commit', `journal: the first fast commit of transaction ${sequence} ${wrong}`);
	};
	for (let journalBlock = fastCommitStart; journalBlock < blockCount; journalBlock++) {
		const bytes = journal.read(journalBlock);
		if (journalBlock === fastCommitStart && recordLayout.decode(bytes).tag !== TAG_HEAD) break;
		for (let at = 0; at + RECORD_BYTES <= bytes.length; ) {
			const { tag, lengthBytes } = recordLayout.decode(bytes, at);
			const value = bytes.subarray(at + RECORD_BYTES, at + RECORD_BYTES + lengthBytes);
			if (value.length < lengthBytes || !isLengthRight(tag, lengthBytes, inodeSizeBytes)) {
				return end(`has a record of kind ${tag} with ${lengthBytes} bytes`);
			}
			if (tag === TAG_HEAD) {
				const head = headLayout.decode(value);
				checkFeatures(head.features);
				if (head.sequence !== sequence) return finished;
			}
			const summed = tag === TAG_TAIL ? RECORD_BYTES + tailLayout.at.checksum : RECORD_BYTES + lengthBytes;
			crc = crc32c(crc, bytes, at, at + summed);
			if (tag === TAG_TAIL) {
				const tail = tailLayout.decode(value);
				if (tail.sequence !== sequence) return end(`ends with the number ${tail.sequence}`);
				if (tail.checksum !== crc) return end('has a wrong checksum');
				finished.push(records);
				records = [];
				crc = 0;
			}
			const record = decodeRecord(tag, value);
			if (record) records.push(record);
			if (++recordCount > MAX_RECORDS) {
				throw unsupported('fast-commit-size', `journal: more than ${MAX_RECORDS} records of fast commits`);
			}
			at += RECORD_BYTES + lengthBytes;
		}
	}
	return finished;
}

function checkFeatures(features: number): void {
	if (features === 0) return;
	throw unsupported(
		'fast-commit-features',
		`journal: fast commits with the unknown features 0x${features.toString(16)}`,
	);
}
