/** The checksums of the blocks in the log (fs/jbd2/recovery.c, …_csum_verify). */
import { crc32c, crc32cOfZeros } from '../bytes/crc32c.ts';
import type { JournalSuperblock } from './journal-file.ts';
import { commitLayout } from './journal-layout.ts';

/** The last bytes of descriptor and revoke blocks (struct jbd2_journal_block_tail). */
export const BLOCK_TAIL_BYTES = 4;

/** Whether blocks have checksums of their own (versions 2 and 3), not only a transaction (version 1). */
export const hasBlockChecksums = (superblock: JournalSuperblock) =>
	superblock.hasChecksumV2 || superblock.hasChecksumV3;

/** What stands at the end of a descriptor or revoke block. */
export function tailChecksum(seed: number, block: Buffer): number {
	return crc32cOfZeros(crc32c(seed, block, 0, block.length - BLOCK_TAIL_BYTES), BLOCK_TAIL_BYTES);
}

/** Whether the checksum of a descriptor or revoke block is right; true where it has none. */
export function isTailRight(superblock: JournalSuperblock, block: Buffer): boolean {
	if (!hasBlockChecksums(superblock)) return true;
	return tailChecksum(superblock.checksumSeed, block) === block.readUInt32BE(block.length - BLOCK_TAIL_BYTES);
}

/** What stands in a commit block, over all of it with the checksum as zeros. */
export function commitChecksum(seed: number, block: Buffer): number {
	const at = commitLayout.at.checksum;
	return crc32c(crc32cOfZeros(crc32c(seed, block, 0, at), 4), block, at + 4);
}

/** A block whose last sectors were torn off behind the header is taken too: only zeros are meant to be there. */
export function isCommitRight(superblock: JournalSuperblock, block: Buffer): boolean {
	if (!hasBlockChecksums(superblock)) return true;
	const stored = commitLayout.decode(block).checksum;
	if (commitChecksum(superblock.checksumSeed, block) === stored) return true;
	const headerOnly = Buffer.alloc(block.length);
	block.copy(headerOnly, 0, 0, commitLayout.sizeBytes);
	return commitChecksum(superblock.checksumSeed, headerOnly) === stored;
}

/** What a tag holds for a logged block, as stored: 32 bits in version 3, the low 16 of them in version 2. */
export function loggedBlockChecksum(seed: number, sequence: number, block: Buffer): number {
	const number = Buffer.alloc(4);
	number.writeUInt32BE(sequence);
	return crc32c(crc32c(seed, number), block);
}

/** Whether a logged block is what its tag says, `stored` being the tag's checksum; true where tags have none. */
export function isLoggedBlockRight(
	superblock: JournalSuperblock,
	sequence: number,
	stored: number,
	block: Buffer,
): boolean {
	if (!hasBlockChecksums(superblock)) return true;
	const computed = loggedBlockChecksum(superblock.checksumSeed, sequence, block);
	return stored === (superblock.hasChecksumV3 ? computed : computed & 0xffff);
}
