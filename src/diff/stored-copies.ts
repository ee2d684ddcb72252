/** The shadow copies in a storage as who may not write to it sees them: nothing is mended, removed or put on record. */
import { messageOf } from '../errors.ts';
import { type CatalogCopy, readCatalog, type StoredCatalog } from './catalog.ts';
import type { DiffAreaShare } from './diff-area-types.ts';
import { PAGE_BYTES } from './segment.ts';
import { type SegmentReader, takeInSegments } from './segment-intake.ts';
import { SegmentStore } from './segment-store.ts';
import type { SegmentToVerify } from './verify.ts';
import { checkMark, checkVolume, type VolumeAsItIs } from './volume-check.ts';

export interface StoredCopies {
	readonly share: DiffAreaShare;
	/** Oldest first, with the bytes kept for their own epochs. Those with a fault cannot be read. */
	readonly copies: readonly (CatalogCopy & { readonly preservedBytes: number })[];
	readonly segments: readonly SegmentToVerify[];
	readonly usedBytes: number;
	readonly allocatedBytes: number;
}

interface StoredSegment {
	readonly epoch: number;
	readonly lengthBytes: number;
	/** Why it cannot be read. */
	readonly fault: string | undefined;
	readonly usedBytes: number;
	readonly allocatedBytes: number;
}

/**
 * Reads a storage. The caller holds the image's lock, so that no service writes to either. Undefined where there is no
 * catalog. Errors: refused `volume-changed`, `volume-resized`, `storage-foreign`; those of the catalog.
 */
export function readStoredCopies(options: VolumeAsItIs): StoredCopies | undefined {
	const { directory } = options;
	const catalog = readCatalog(directory);
	if (!catalog) return undefined;
	checkMark(options, catalog);
	checkVolume(catalog, options);
	const { volumeId, volumeSizeBytes, chunkSizeBytes, nextEpoch } = catalog;
	const copies = catalog.copies.filter(({ epoch }) => epoch >= (options.lostBefore ?? 0));
	const firstEpoch = copies[0]?.epoch ?? nextEpoch;
	const { chunks, segments } = readSegments(directory, catalog, firstEpoch);
	const stored = copies.map((copy) => {
		const later = segments.slice(copy.epoch - firstEpoch);
		const fault = later.find((segment) => segment.fault !== undefined)?.fault ?? null;
		return { ...copy, fault, preservedBytes: Math.max(0, later[0]!.usedBytes - PAGE_BYTES) };
	});
	for (const { epoch, fault } of stored) if (fault === null) chunks.epochs.setLiving(epoch, true);
	const { index, epochs, records } = chunks;
	return {
		share: {
			...{ directory, volumeId, volumeSizeBytes, chunkSizeBytes },
			...{ index: index.share, epochs: epochs.share, records: records.share },
		},
		copies: stored,
		segments: segments.filter(({ fault }) => fault === undefined),
		usedBytes: segments.reduce((sum, { usedBytes }) => sum + usedBytes, 0),
		allocatedBytes: segments.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0),
	};
}

function readSegments(directory: string, catalog: StoredCatalog, firstEpoch: number) {
	const { volumeId, volumeSizeBytes, chunkSizeBytes, nextEpoch } = catalog;
	const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	const store = new SegmentStore(directory, identity);
	const onDisk = store.epochsOnDisk().filter((epoch) => !store.isUnmade(epoch, nextEpoch));
	const segments: StoredSegment[] = [];
	const read: SegmentReader = ({ epoch, isNewest, durableBytes }, into) => {
		try {
			const { content } = store.look(epoch, isNewest, durableBytes, into);
			segments.push(soundSegment(epoch, content.lengthBytes, store.allocatedOnDisk(epoch)));
			return content;
		} catch (error) {
			segments.push({ epoch, lengthBytes: 0, fault: messageOf(error), usedBytes: 0, allocatedBytes: 0 });
			return undefined;
		}
	};
	return { chunks: takeInSegments(store, onDisk, firstEpoch, catalog, read).chunks, segments };
}

/** What counts of it is less than its length where space was given back. */
const soundSegment = (epoch: number, lengthBytes: number, allocatedBytes: number): StoredSegment => ({
	epoch,
	lengthBytes,
	fault: undefined,
	usedBytes: Math.min(lengthBytes, allocatedBytes),
	allocatedBytes,
});
