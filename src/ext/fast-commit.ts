import { crc32c } from '../bytes/crc32c.ts';
import { struct, u16le, u32le } from '../bytes/struct.ts';
import type { JournalFile } from './journal-file.ts';

/** A record in the fast commit area: little-endian, unlike the rest of the journal (fs/ext4/fast_commit.h). */
const recordLayout = struct('fast commit record', 4, { tag: u16le(0x0), lengthBytes: u16le(0x2) }); // ext4_fc_tl
const tailLayout = struct('fast commit tail', 8, { sequence: u32le(0x0), checksum: u32le(0x4) }); // ext4_fc_tail
const headLayout = struct('fast commit head', 8, { features: u32le(0x0), sequence: u32le(0x4) }); // ext4_fc_head

const TAG_TAIL = 8; // EXT4_FC_TAG_TAIL
const TAG_HEAD = 9; // EXT4_FC_TAG_HEAD
const RECORD_BYTES = recordLayout.sizeBytes;

/**
 * How many fast commits follow the log's last transaction `sequence - 1`. They say what was done (a name was linked, a
 * range was added), not what blocks became of it. As fs/ext4/fast_commit.c, ext4_fc_replay_scan: they count up to the
 * last tail that has the right number and checksum.
 */
export function countFastCommits(journal: JournalFile, sequence: number): number {
	const { fastCommitStart, blockCount } = journal.superblock;
	let crc = 0;
	let count = 0;
	for (let journalBlock = fastCommitStart; journalBlock < blockCount; journalBlock++) {
		const bytes = journal.read(journalBlock);
		if (journalBlock === fastCommitStart && recordLayout.decode(bytes).tag !== TAG_HEAD) return 0;
		for (let at = 0; at + RECORD_BYTES <= bytes.length; ) {
			const { tag, lengthBytes } = recordLayout.decode(bytes, at);
			const value = at + RECORD_BYTES;
			const end = value + lengthBytes;
			if (tag === 0 || tag > TAG_HEAD || end > bytes.length) return count;
			crc = crc32c(crc, bytes, at, tag === TAG_TAIL ? value + tailLayout.at.checksum : end);
			if (tag === TAG_HEAD) {
				if (lengthBytes < headLayout.sizeBytes || headLayout.decode(bytes, value).sequence !== sequence) return count;
			}
			if (tag === TAG_TAIL) {
				if (lengthBytes < tailLayout.sizeBytes) return count;
				const tail = tailLayout.decode(bytes, value);
				if (tail.sequence !== sequence || tail.checksum !== crc) return count;
				count++;
				crc = 0;
			}
			at = end;
		}
	}
	return count;
}
