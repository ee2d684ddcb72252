/** The shadow copies in a storage as who may not write to it sees them: nothing is mended, removed or put on record. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { corrupt, messageOf } from '../errors.ts';
import { type CatalogCopy, readCatalog } from './catalog.ts';
import type { DiffAreaOptions, DiffAreaShare } from './diff-area-types.ts';
import { checkVolume } from './opening.ts';
import { PreservedChunks } from './preserved-chunks.ts';
import { PAGE_BYTES, placesFileName, type SegmentIdentity, segmentFileName } from './segment.ts';
import { forEachPlace, readPlaces, type SegmentContent, scanSegment } from './segment-scan.ts';

export interface StoredCopies {
	readonly share: DiffAreaShare;
	/** Oldest first, with the bytes kept for their own epochs, and what is wrong with a segment that they read. */
	readonly copies: readonly (CatalogCopy & { readonly preservedBytes: number })[];
	readonly usedBytes: number;
	readonly allocatedBytes: number;
}

interface StoredSegment {
	readonly content: SegmentContent;
	readonly usedBytes: number;
	readonly allocatedBytes: number;
}

/**
 * Reads a storage. The caller holds the image's lock, so that no service writes to either. Undefined where there is no
 * catalog. Errors: refused `volume-changed`, `volume-resized`; those of the catalog. A copy that needs a segment which is
 * damaged, missing or not readable has a fault, and does not live in the shared memory.
 */
export function readStoredCopies(
	options: Pick<DiffAreaOptions, 'directory' | 'volumeSizeBytes' | 'volumeStamp'>,
): StoredCopies | undefined {
	const { directory } = options;
	const catalog = readCatalog(directory);
	if (!catalog) return undefined;
	checkVolume(catalog, options);
	const { volumeId, volumeSizeBytes, chunkSizeBytes, copies, nextEpoch } = catalog;
	const firstEpoch = copies[0]?.epoch ?? nextEpoch;
	const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	const durableBytes = new Map(catalog.segments.map((segment) => [segment.epoch, segment.durableBytes]));
	const segments = new Map<number, StoredSegment>();
	let damaged = { epoch: 0, fault: '' };
	for (let epoch = firstEpoch; epoch < nextEpoch; epoch++) {
		const isNewest = epoch === nextEpoch - 1;
		try {
			segments.set(epoch, readSegment(directory, { ...identity, epoch }, isNewest, durableBytes.get(epoch) ?? 0));
		} catch (error) {
			damaged = { epoch, fault: messageOf(error) };
		}
	}
	const present = [...segments.values()].reduce((sum, { content }) => sum + content.places.length / 2, 0);
	const chunks = new PreservedChunks(firstEpoch, Math.ceil(volumeSizeBytes / chunkSizeBytes), present);
	for (let epoch = firstEpoch; epoch < nextEpoch; epoch++) {
		const content = segments.get(epoch)?.content;
		chunks.beginEpoch(content?.lengthBytes ?? 0);
		if (content) forEachPlace(content, (place) => chunks.publish(place.chunkIndex, { epoch, ...place }));
	}
	for (const { epoch } of copies) if (epoch > damaged.epoch) chunks.epochs.setLiving(epoch, true);
	const { index, epochs } = chunks;
	const sum = (of: (segment: StoredSegment) => number) =>
		[...segments.values()].reduce((total, segment) => total + of(segment), 0);
	return {
		share: { directory, volumeId, volumeSizeBytes, chunkSizeBytes, index: index.share, epochs: epochs.share },
		copies: copies.map((copy) => ({
			...copy,
			fault: copy.epoch > damaged.epoch ? null : damaged.fault,
			preservedBytes: Math.max(0, (segments.get(copy.epoch)?.usedBytes ?? 0) - PAGE_BYTES),
		})),
		usedBytes: sum(({ usedBytes }) => usedBytes),
		allocatedBytes: sum(({ allocatedBytes }) => allocatedBytes),
	};
}

function readSegment(
	directory: string,
	identity: SegmentIdentity,
	isNewest: boolean,
	durableBytes: number,
): StoredSegment {
	const { epoch } = identity;
	const path = join(directory, segmentFileName(epoch));
	const { size, blocks } = statSync(path);
	const known = isNewest ? undefined : readPlaces(join(directory, placesFileName(epoch)), epoch, size);
	const content = known ?? scanSegment(path, identity, durableBytes);
	if (content.lengthBytes < durableBytes) {
		throw corrupt('segment-damaged', `${path}: is sound up to byte ${content.lengthBytes} of ${durableBytes}`);
	}
	// Less than its length where space was given back.
	return { content, usedBytes: Math.min(content.lengthBytes, blocks * 512), allocatedBytes: blocks * 512 };
}
