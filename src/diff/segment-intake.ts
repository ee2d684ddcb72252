/** What the segments of a storage hold, taken into an index when the storage is opened. */
import type { StoredCatalog } from './catalog.ts';
import { PlaceList } from './place-list.ts';
import { PreservedChunks } from './preserved-chunks.ts';
import type { SegmentContent } from './segment-scan.ts';
import type { SegmentStore } from './segment-store.ts';

/** A segment as it is expected to be. */
export interface ExpectedSegment {
	readonly epoch: number;
	/** Only the newest one may have a torn tail. */
	readonly isNewest: boolean;
	/** What is missing of these is damage. */
	readonly durableBytes: number;
}

/** Puts the places of a segment's chunks into a list; undefined where the segment cannot be read. */
export type SegmentReader = (segment: ExpectedSegment, into: PlaceList) => SegmentContent | undefined;

/**
 * Takes in the segments from an epoch on, oldest first, one after the other: no more than one is in memory at a time. There
 * is an epoch for each number, and one behind the last that the catalog knows where a crash left its segment: chunks of the
 * copies before it may be there. `onDisk`: the epochs that have a segment file. Returns the content of the newest segment
 * beside it, if that can be read.
 */
export function takeInSegments(
	segments: SegmentStore,
	onDisk: readonly number[],
	firstEpoch: number,
	catalog: StoredCatalog,
	read: SegmentReader,
): { readonly chunks: PreservedChunks; readonly newest: SegmentContent | undefined } {
	const newestEpoch = Math.max(catalog.nextEpoch - 1, ...onDisk);
	const durableBytes = new Map(catalog.segments.map((segment) => [segment.epoch, segment.durableBytes]));
	const sizesBytes = onDisk.filter((epoch) => epoch >= firstEpoch).map((epoch) => segments.sizeOnDisk(epoch));
	const chunks = PreservedChunks.forSegments(catalog, firstEpoch, sizesBytes);
	const places = new PlaceList();
	let newest: SegmentContent | undefined;
	for (let epoch = firstEpoch; epoch <= newestEpoch; epoch++) {
		const isNewest = epoch === newestEpoch;
		newest = read({ epoch, isNewest, durableBytes: durableBytes.get(epoch) ?? 0 }, places);
		if (newest) chunks.takeIn(epoch, newest.lengthBytes, places);
		else chunks.beginEpoch(0);
	}
	return { chunks, newest };
}
