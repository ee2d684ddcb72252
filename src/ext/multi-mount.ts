import { crc32c } from '../bytes/crc32c.ts';
import type { BlockReader } from './block-reader.ts';
import { MMP_CHECKSUM_AT, MMP_MAGIC, MMP_SEQUENCE_CLEAN, MMP_SEQUENCE_FSCK, mmpLayout } from './layout.ts';

/** Who says in the MMP block that they use the volume: multi-mount protection, feature `mmp`. */
export interface MultiMount {
	/** `in-use` may also have been left by a crash; a host that lives changes the block every few seconds. */
	readonly state: 'clean' | 'in-use' | 'checked' | 'damaged';
	readonly host: string;
	readonly device: string;
	/** Seconds since 1970: when the block was last written. */
	readonly timeSec: number;
}

/** The MMP block of a volume; undefined without the feature. Errors: `corrupt` where it is outside the volume. */
export function readMultiMount(blocks: BlockReader): MultiMount | undefined {
	const { superblock } = blocks;
	if (!superblock.features.has('mmp')) return undefined;
	const bytes = blocks.metadata(superblock.mmpBlock, 'MMP block', 0);
	const raw = mmpLayout.decode(bytes);
	return { state: stateOf(blocks, bytes), host: raw.host, device: raw.device, timeSec: raw.timeSec };
}

function stateOf({ superblock }: BlockReader, bytes: Buffer): MultiMount['state'] {
	const { magic, sequence, checksum } = mmpLayout.decode(bytes);
	const hasChecksum = superblock.features.has('metadata_csum');
	if (magic !== MMP_MAGIC) return 'damaged';
	if (hasChecksum && crc32c(superblock.checksumSeed, bytes, 0, MMP_CHECKSUM_AT) !== checksum) return 'damaged';
	if (sequence === MMP_SEQUENCE_CLEAN) return 'clean';
	return sequence === MMP_SEQUENCE_FSCK ? 'checked' : 'in-use';
}
