import { BLOCK_TAIL_BYTES, hasBlockChecksums } from './journal-checksum.ts';
import type { JournalSuperblock } from './journal-file.ts';
import {
	blockHeaderLayout,
	revokeHeaderLayout,
	TAG_ESCAPE,
	TAG_LAST,
	TAG_SAME_UUID,
	tag3Layout,
	tagLayout,
} from './journal-layout.ts';

/** What a descriptor block says of one of the blocks that follow it. */
export interface Tag {
	/** Where the block belongs on the volume. */
	readonly block: number;
	/** Its first four bytes were the journal's magic number, and are zeros in the log. */
	readonly isEscaped: boolean;
	readonly checksum: number;
}

const UUID_BYTES = 16;

/** As fs/jbd2/journal.c, journal_tag_bytes: 16, 14, 12, 10 or 8. */
function tagBytes(superblock: JournalSuperblock): number {
	if (superblock.hasChecksumV3) return tag3Layout.sizeBytes;
	return tagLayout.sizeBytes - (superblock.has64bit ? 0 : 4) + (superblock.hasChecksumV2 ? 2 : 0);
}

const tailBytes = (superblock: JournalSuperblock) => (hasBlockChecksums(superblock) ? BLOCK_TAIL_BYTES : 0);

/** The tags of a descriptor block, up to the one that says it is the last, or that no more fit. */
export function decodeTags(superblock: JournalSuperblock, descriptor: Buffer): Tag[] {
	const size = tagBytes(superblock);
	const end = descriptor.length - tailBytes(superblock);
	const tags: Tag[] = [];
	for (let at = blockHeaderLayout.sizeBytes; at + size <= end; ) {
		const { checksum, flags, blockLow, high } = decodeTag(superblock, descriptor, at);
		tags.push({ block: blockLow + high * 2 ** 32, isEscaped: (flags & TAG_ESCAPE) !== 0, checksum });
		if (flags & TAG_LAST) break;
		at += size + (flags & TAG_SAME_UUID ? 0 : UUID_BYTES);
	}
	return tags;
}

function decodeTag(superblock: JournalSuperblock, descriptor: Buffer, at: number) {
	if (superblock.hasChecksumV3) {
		const tag = tag3Layout.decode(descriptor, at);
		return { ...tag, high: superblock.has64bit ? tag.blockHigh : 0 };
	}
	return {
		blockLow: descriptor.readUInt32BE(at + tagLayout.at.blockLow),
		checksum: descriptor.readUInt16BE(at + tagLayout.at.checksum),
		flags: descriptor.readUInt16BE(at + tagLayout.at.flags),
		high: superblock.has64bit ? descriptor.readUInt32BE(at + tagLayout.at.blockHigh) : 0,
	};
}

/** The blocks that a revoke block names; undefined where its count does not fit in it. */
export function decodeRevoked(superblock: JournalSuperblock, revoke: Buffer): number[] | undefined {
	const { usedBytes } = revokeHeaderLayout.decode(revoke);
	if (usedBytes > revoke.length - tailBytes(superblock)) return undefined;
	const recordBytes = superblock.has64bit ? 8 : 4;
	const revoked: number[] = [];
	for (let at = revokeHeaderLayout.sizeBytes; at + recordBytes <= usedBytes; at += recordBytes) {
		revoked.push(
			superblock.has64bit ? revoke.readUInt32BE(at) * 2 ** 32 + revoke.readUInt32BE(at + 4) : revoke.readUInt32BE(at),
		);
	}
	return revoked;
}
