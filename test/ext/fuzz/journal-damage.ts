/** Damage to a log that waits to be replayed, fast commits among it. */
import { crc32c } from '../../../src/bytes/crc32c.ts';
import { commitChecksum, tailChecksum } from '../../../src/ext/journal-checksum.ts';
import { superblockChecksum } from '../../../src/ext/journal-file.ts';
import * as layout from '../../../src/ext/journal-layout.ts';
import type { Random } from '../../helpers/random.ts';
import { flipBytes, poke, pokeField } from './poke.ts';
import type { Target } from './target.ts';

const HEADER_BYTES = layout.blockHeaderLayout.sizeBytes;

/** Damages one of the journal's own blocks, mostly with its checksum made right again. */
export function damageJournal({ image, journal, fs }: Target, random: Random): string {
	const { blockSizeBytes } = fs.superblock;
	const { ownBlocks, fastCommitBlocks, checksumSeed } = journal;
	const isFast = fastCommitBlocks.length > 0 && random.integer(2) === 0;
	const block = random.pick(isFast ? fastCommitBlocks : ownBlocks);
	let what = '';
	image.patch(block * blockSizeBytes, blockSizeBytes, (bytes) => {
		if (random.integer(6) === 0) what = flipBytes(bytes, random);
		else what = isFast ? damageFastCommits(bytes, random) : damageOwn(bytes, checksumSeed, random);
	});
	return `journal at block ${block}: ${what}`;
}

function damageOwn(bytes: Buffer, seed: number, random: Random): string {
	const { type } = layout.blockHeaderLayout.decode(bytes);
	if (type === layout.SUPERBLOCK_V1 || type === layout.SUPERBLOCK_V2) {
		const what = pokeField(bytes, layout.journalSuperblockLayout.fields, random, 'be');
		layout.journalSuperblockLayout.encode({ checksum: superblockChecksum(bytes) }, bytes);
		return `superblock.${what}`;
	}
	const at = random.integer(4) === 0 ? 4 * random.integer(3) : HEADER_BYTES + 2 * random.integer(60);
	poke(bytes, at, random.pick([1, 2, 4]), random, 'be');
	if (type === layout.COMMIT_BLOCK) layout.commitLayout.encode({ checksum: commitChecksum(seed, bytes) }, bytes);
	else bytes.writeUInt32BE(tailChecksum(seed, bytes), bytes.length - 4);
	return `byte ${at}`;
}

/** fs/ext4/fast_commit.h: tag and length of a record, 2 bytes each, little-endian. */
const TAG_TAIL = 8;
const TAG_HEAD = 9;

/** Changes a record; every tail in the block that has a commit of its own before it is made right again. */
function damageFastCommits(bytes: Buffer, random: Random): string {
	const records = recordsOf(bytes);
	if (records.length === 0) return flipBytes(bytes, random);
	const { at, end } = random.pick(records);
	const into = random.integer(3) === 0 ? random.integer(4) : Math.min(end - at - 1, 4 + random.integer(40));
	poke(bytes, at + into, random.pick([1, 2, 4]), random);
	let start = 0;
	for (const record of recordsOf(bytes)) {
		if (record.tag !== TAG_TAIL || record.end - record.at < 12) continue;
		bytes.writeUInt32LE(crc32c(0, bytes, start, record.at + 8), record.at + 8);
		start = record.end;
	}
	return `record at ${at}, byte ${into}`;
}

function recordsOf(bytes: Buffer): { tag: number; at: number; end: number }[] {
	const records: { tag: number; at: number; end: number }[] = [];
	for (let at = 0; at + 4 <= bytes.length; ) {
		const tag = bytes.readUInt16LE(at);
		const end = at + 4 + bytes.readUInt16LE(at + 2);
		if (tag === 0 || tag > TAG_HEAD || end > bytes.length) break;
		records.push({ tag, at, end });
		at = end;
	}
	return records;
}
