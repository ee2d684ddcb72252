import { statSync } from 'node:fs';

/**
 * How an image looks at rest: its modification time, to the nanosecond. Null for a block device, whose node tells
 * nothing about its content.
 */
export function volumeStamp(imagePath: string): string | null {
	const stats = statSync(imagePath, { bigint: true });
	if (!stats.isFile()) return null;
	const seconds = new Date(Number(stats.mtimeNs / 1_000_000n)).toISOString().slice(0, 19);
	return `${seconds}.${String(stats.mtimeNs % 1_000_000_000n).padStart(9, '0')}Z`;
}
