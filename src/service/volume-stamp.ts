import { fstatSync, fsyncSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { SUPERBLOCK_BYTE_OFFSET, superblockLayout } from '../ext/layout.ts';

/**
 * How a volume looks at rest, to tell later whether somebody changed it: of an image the modification time, to the
 * nanosecond; of a block device, whose node has no such time, the checksum of the superblock. It is that of the open file:
 * something else may have taken its name.
 */
export function volumeStamp(fd: number): string {
	const stats = fstatSync(fd, { bigint: true });
	if (!stats.isFile()) return superblockStamp(fd);
	const seconds = new Date(Number(stats.mtimeNs / 1_000_000n)).toISOString().slice(0, 19);
	return `${seconds}.${String(stats.mtimeNs % 1_000_000_000n).padStart(9, '0')}Z`;
}

/**
 * The stamp to leave behind. What it is taken from is made durable first: flushing the data alone leaves the modification
 * time to the host, and after a power cut the volume would look changed.
 */
export function durableVolumeStamp(fd: number): string {
	fsyncSync(fd);
	return volumeStamp(fd);
}

/** The superblock notes the last mount and the last write. */
function superblockStamp(fd: number): string {
	const superblock = Buffer.alloc(superblockLayout.sizeBytes);
	readSync(fd, superblock, 0, superblock.length, SUPERBLOCK_BYTE_OFFSET);
	return `superblock ${crc32(superblock).toString(16).padStart(8, '0')}`;
}
