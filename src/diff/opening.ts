/** Opening a diff area: its catalog, whether it belongs to this volume, and what its segments hold. */
import { messageOf, refused } from '../errors.ts';
import { type CatalogBody, makeDirectory, readCatalog } from './catalog.ts';
import type { DiffAreaOptions } from './diff-area-types.ts';
import type { SegmentContent } from './segment-scan.ts';
import { SegmentStore } from './segment-store.ts';

/** A tenth of the volume, as with VSS. */
const DEFAULT_MAXIMUM_DIVISOR = 10;

/** A segment's content, or why it cannot be had. */
export type OpenedSegment =
	| { readonly content: SegmentContent }
	| { readonly content: undefined; readonly fault: string };

export interface OpenedDiffArea {
	readonly catalog: CatalogBody;
	readonly segments: SegmentStore;
	/** The epoch of the first of `opened`; the others follow without gaps. */
	readonly firstEpoch: number;
	readonly opened: readonly OpenedSegment[];
}

/**
 * Reads the diff area in a directory, or begins a new one there.
 * Errors: refused `volume-changed`, `volume-resized`; those of the catalog.
 */
export function openDiffArea(options: DiffAreaOptions): OpenedDiffArea {
	makeDirectory(options.directory);
	const catalog = { ...newCatalog(options), ...readCatalog(options.directory) };
	checkVolume(catalog, options);
	const { volumeId, volumeSizeBytes, chunkSizeBytes } = catalog;
	const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	const segments = new SegmentStore(options.directory, identity);
	const firstEpoch = catalog.copies[0]?.epoch ?? catalog.nextEpoch;
	return { catalog, segments, firstEpoch, opened: openSegments(segments, firstEpoch, catalog) };
}

function newCatalog(options: DiffAreaOptions): CatalogBody {
	return {
		volumeId: options.newVolumeId,
		volumeSizeBytes: options.volumeSizeBytes,
		chunkSizeBytes: chunkSizeFor(options.volumeSizeBytes),
		maximumBytes: Math.floor(options.volumeSizeBytes / DEFAULT_MAXIMUM_DIVISOR),
		nextEpoch: 1,
		copies: [],
		segments: [],
		volumeStamp: null,
	};
}

/** A larger volume gets larger chunks, so that its chunk index stays small. */
function chunkSizeFor(volumeSizeBytes: number): number {
	const tebibytes = volumeSizeBytes / 2 ** 40;
	return tebibytes <= 1 ? 16384 : tebibytes <= 4 ? 32768 : 65536;
}

/** Reads the segments from an epoch on, oldest first; those of older epochs, which no copy reads, are removed. */
function openSegments(segments: SegmentStore, firstEpoch: number, catalog: CatalogBody): OpenedSegment[] {
	const onDisk = segments.epochsOnDisk().filter((epoch) => !segments.dropUnmade(epoch, catalog.nextEpoch));
	const newestEpoch = Math.max(catalog.nextEpoch - 1, ...onDisk);
	const durableBytes = new Map(catalog.segments.map((segment) => [segment.epoch, segment.durableBytes]));
	for (const epoch of onDisk) if (epoch < firstEpoch) segments.remove(epoch);
	const opened: OpenedSegment[] = [];
	for (let epoch = firstEpoch; epoch <= newestEpoch; epoch++) {
		try {
			opened.push({ content: segments.read(epoch, epoch === newestEpoch, durableBytes.get(epoch) ?? 0) });
		} catch (error) {
			opened.push({ content: undefined, fault: messageOf(error) });
		}
	}
	return opened;
}

/** Errors: refused `volume-changed`, `volume-resized` where the copies are not of the volume as it is. */
export function checkVolume(
	catalog: CatalogBody,
	options: Pick<DiffAreaOptions, 'directory' | 'volumeSizeBytes' | 'volumeStamp'>,
): void {
	if (catalog.copies.length === 0 && catalog.volumeSizeBytes === options.volumeSizeBytes) return;
	const way = `to go on without its ${catalog.copies.length} shadow copies, move ${options.directory} away`;
	if (catalog.volumeSizeBytes !== options.volumeSizeBytes) {
		throw refused(
			'volume-resized',
			`the volume has ${options.volumeSizeBytes} bytes, but ${options.directory} was made for ${catalog.volumeSizeBytes}; ${way}`,
		);
	}
	if (catalog.volumeStamp !== null && catalog.volumeStamp !== options.volumeStamp) {
		throw refused(
			'volume-changed',
			`the volume was changed while Noonmark was not in between (it was left at ${catalog.volumeStamp}, now it is at ${options.volumeStamp}); ${way}`,
		);
	}
}
