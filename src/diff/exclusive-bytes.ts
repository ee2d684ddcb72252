import { ChunkIndex } from './chunk-index.ts';
import { CopyBases } from './copy-bases.ts';
import type { DiffAreaShare } from './diff-area-types.ts';
import { EpochTable } from './epoch-table.ts';

/**
 * For each copy, how many bytes of old chunks it reads alone: what deleting it gives back, beside the heads of records.
 * `epochs` are those of all copies, oldest first. Looks at every version of every chunk (10 million take a fifth of a
 * second), so it is not for the live thread; what changes meanwhile may be counted or not.
 */
export function exclusiveBytes(share: DiffAreaShare, epochs: readonly number[]): number[] {
	const index = ChunkIndex.attach(share.index);
	const table = EpochTable.attach(share.epochs);
	const bases = new CopyBases(epochs.map((epoch) => table.baseLocation(epoch)));
	const bytes = epochs.map(() => 0);
	for (let node = 1; node < index.nodeEnd; node++) {
		const location = index.locationAt(node);
		if (location & 1) continue;
		const newest = bases.countUpTo(location);
		if (newest > 0 && bases.countUpTo(index.previousLocationAt(node)) === newest - 1)
			bytes[newest - 1]! += share.chunkSizeBytes;
	}
	return bytes;
}
