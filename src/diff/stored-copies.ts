/** The shadow copies in a storage as who may not write to it sees them: nothing is mended, removed or put on record. */
import { messageOf } from '../errors.ts';
import { type CatalogCopy, readCatalog, type StoredCatalog } from './catalog.ts';
import type { DiffAreaShare } from './diff-area-types.ts';
import { checkMark, checkVolume, type VolumeAsItIs } from './opening.ts';
import { PlaceList } from './place-list.ts';
import { PreservedChunks } from './preserved-chunks.ts';
import { PAGE_BYTES } from './segment.ts';
import { SegmentStore } from './segment-store.ts';
import type { SegmentToVerify } from './verify.ts';

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

/**
 * Takes in the segments one after the other, without gaps from the first epoch on; one that a crash left unfinished may
 * hold chunks of the others.
 */
function readSegments(directory: string, catalog: StoredCatalog, firstEpoch: number) {
	const { volumeId, volumeSizeBytes, chunkSizeBytes, nextEpoch } = catalog;
	const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	const store = new SegmentStore(directory, identity);
	const onDisk = store.epochsOnDisk().filter((epoch) => !store.isUnmade(epoch, nextEpoch));
	const newestEpoch = Math.max(nextEpoch - 1, ...onDisk);
	const durableBytes = new Map(catalog.segments.map((segment) => [segment.epoch, segment.durableBytes]));
	const sizesBytes = onDisk.filter((epoch) => epoch >= firstEpoch).map((epoch) => store.sizeOnDisk(epoch));
	const chunks = PreservedChunks.forSegments(catalog, firstEpoch, sizesBytes);
	const places = new PlaceList();
	const segments: StoredSegment[] = [];
	for (let epoch = firstEpoch; epoch <= newestEpoch; epoch++) {
		const atLeastBytes = durableBytes.get(epoch) ?? 0;
		const segment = readSegment(store, epoch, epoch === newestEpoch, atLeastBytes, places);
		segments.push(segment);
		if (segment.fault === undefined) chunks.takeIn(epoch, segment.lengthBytes, places);
		else chunks.beginEpoch(0);
	}
	return { chunks, segments };
}

function readSegment(
	store: SegmentStore,
	epoch: number,
	isNewest: boolean,
	durableBytes: number,
	into: PlaceList,
): StoredSegment {
	try {
		const { lengthBytes } = store.look(epoch, isNewest, durableBytes, into).content;
		const allocatedBytes = store.allocatedOnDisk(epoch);
		// Less than its length where space was given back.
		return { epoch, lengthBytes, fault: undefined, usedBytes: Math.min(lengthBytes, allocatedBytes), allocatedBytes };
	} catch (error) {
		return { epoch, lengthBytes: 0, fault: messageOf(error), usedBytes: 0, allocatedBytes: 0 };
	}
}
