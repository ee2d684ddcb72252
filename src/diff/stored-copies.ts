/** The shadow copies in a storage as who may not write to it sees them: nothing is mended, removed or put on record. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { corrupt, messageOf } from '../errors.ts';
import { type CatalogCopy, readCatalog, type StoredCatalog } from './catalog.ts';
import type { DiffAreaShare } from './diff-area-types.ts';
import { checkMark, checkVolume, type VolumeAsItIs } from './opening.ts';
import { PreservedChunks } from './preserved-chunks.ts';
import { PAGE_BYTES, placesFileName, type SegmentIdentity, segmentFileName } from './segment.ts';
import { readPlaces, type SegmentContent, scanSegment } from './segment-scan.ts';
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

/** A segment's content, or why it cannot be had. */
interface StoredSegment {
	readonly content: SegmentContent | undefined;
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
	const opened = readSegments(directory, catalog, firstEpoch);
	const present = opened.reduce((sum, { content }) => sum + (content?.places.length ?? 0) / 2, 0);
	const chunks = new PreservedChunks(firstEpoch, Math.ceil(volumeSizeBytes / chunkSizeBytes), chunkSizeBytes, present);
	opened.forEach(({ content }, i) => {
		const epoch = firstEpoch + i;
		chunks.beginEpoch(content?.lengthBytes ?? 0);
		if (content) chunks.publishAll(epoch, content);
	});
	const stored = copies.map((copy) => {
		const later = opened.slice(copy.epoch - firstEpoch);
		const fault = later.find(({ content }) => content === undefined)?.fault ?? null;
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
		segments: opened.flatMap(({ content }, i) =>
			content ? [{ epoch: firstEpoch + i, lengthBytes: content.lengthBytes }] : [],
		),
		usedBytes: opened.reduce((sum, { usedBytes }) => sum + usedBytes, 0),
		allocatedBytes: opened.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0),
	};
}

/** Without gaps from the first epoch on; one that a crash left unfinished may hold chunks of the others. */
function readSegments(directory: string, catalog: StoredCatalog, firstEpoch: number): StoredSegment[] {
	const { volumeId, volumeSizeBytes, chunkSizeBytes, nextEpoch } = catalog;
	const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	const store = new SegmentStore(directory, identity);
	const onDisk = store.epochsOnDisk().filter((epoch) => !store.isUnmade(epoch, nextEpoch));
	const newestEpoch = Math.max(nextEpoch - 1, ...onDisk);
	const durableBytes = new Map(catalog.segments.map((segment) => [segment.epoch, segment.durableBytes]));
	return Array.from({ length: newestEpoch + 1 - firstEpoch }, (_, i) => {
		const epoch = firstEpoch + i;
		return readSegment(directory, { ...identity, epoch }, epoch === newestEpoch, durableBytes.get(epoch) ?? 0);
	});
}

function readSegment(
	directory: string,
	identity: SegmentIdentity,
	isNewest: boolean,
	durableBytes: number,
): StoredSegment {
	const { epoch } = identity;
	const path = join(directory, segmentFileName(epoch));
	try {
		const { size, blocks } = statSync(path);
		const known = isNewest ? undefined : readPlaces(join(directory, placesFileName(epoch)), epoch, size);
		const content = known ?? scanSegment(path, identity, durableBytes);
		if (content.lengthBytes < durableBytes) {
			throw corrupt('segment-damaged', `${path}: is sound up to byte ${content.lengthBytes} of ${durableBytes}`);
		}
		const allocatedBytes = blocks * 512;
		// Less than its length where space was given back.
		return { content, fault: undefined, usedBytes: Math.min(content.lengthBytes, allocatedBytes), allocatedBytes };
	} catch (error) {
		return { content: undefined, fault: messageOf(error), usedBytes: 0, allocatedBytes: 0 };
	}
}
