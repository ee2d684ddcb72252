/** Opening a diff area: its catalog, and what its segments hold. */
import { corrupt, messageOf } from '../errors.ts';
import { type CatalogBody, type CatalogCopy, makeDirectory, readCatalog, type StoredCatalog } from './catalog.ts';
import type { DiffAreaEvent, DiffAreaOptions } from './diff-area-types.ts';
import type { PreservedChunks } from './preserved-chunks.ts';
import { type SegmentReader, takeInSegments } from './segment-intake.ts';
import type { SegmentContent } from './segment-scan.ts';
import { SegmentStore } from './segment-store.ts';
import { faultNameOf } from './storage-errors.ts';
import { checkMark, checkVolume, WAY_ON } from './volume-check.ts';

/** A tenth of the volume, as with VSS. */
const DEFAULT_MAXIMUM_DIVISOR = 10;

export interface OpenedDiffArea {
	readonly catalog: CatalogBody;
	readonly segments: SegmentStore;
	/** What the segments hold, from that of the oldest copy on. */
	readonly chunks: PreservedChunks;
	/** The content of the newest segment; undefined where it cannot be read, or there is none. */
	readonly newest: SegmentContent | undefined;
	/** The copies, each with what is wrong now with a segment that it reads. */
	readonly copies: readonly CatalogCopy[];
	readonly events: readonly DiffAreaEvent[];
}

/**
 * Reads the diff area in a directory, or begins a new one there.
 * Errors: refused `volume-changed`, `volume-resized`, `storage-lost`, `storage-foreign`; corrupt `catalog-missing`; those
 * of the catalog.
 */
export function openDiffArea(options: DiffAreaOptions): OpenedDiffArea {
	const { directory, lostBefore = 0 } = options;
	const events: DiffAreaEvent[] = [];
	const stored = readCatalog(directory, (fault) => events.push({ kind: 'catalog-restored', fault }));
	const catalog = catalogFor(options, stored);
	checkMark(options, stored);
	checkVolume(catalog, options);
	makeDirectory(directory);
	const { volumeId, volumeSizeBytes, chunkSizeBytes } = catalog;
	const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	const segments = new SegmentStore(directory, identity);
	if (!stored) checkIsNew(directory, segments);
	const lost = catalog.copies.filter(({ epoch }) => epoch < lostBefore);
	if (lost.length > 0)
		events.push({ kind: 'copies-lost', copies: lost, fault: LOST_BEFORE, faultName: 'storage-unwritable' });
	const kept = catalog.copies.filter((copy) => !lost.includes(copy));
	const firstEpoch = kept[0]?.epoch ?? Math.max(catalog.nextEpoch, lostBefore);
	const { chunks, newest, damages } = openSegments(segments, firstEpoch, catalog);
	// A copy reads the segments of its own epoch and of all later ones.
	const damaged = (copy: CatalogCopy) => damages.find(({ epoch }) => epoch >= copy.epoch);
	const copies = kept.map((copy) => ({ ...copy, fault: damaged(copy)?.fault ?? null }));
	events.push(...changesOf(kept, copies, (copy) => damaged(copy)?.faultName));
	return { catalog, segments, chunks, newest, copies, events };
}

const LOST_BEFORE = 'the volume was overwritten while the storage could not be written';

function changesOf(
	before: readonly CatalogCopy[],
	now: readonly CatalogCopy[],
	faultNameFor: (copy: CatalogCopy) => string | undefined,
): DiffAreaEvent[] {
	return now.flatMap((copy, i): DiffAreaEvent[] => {
		if (copy.fault === before[i]!.fault) return [];
		const faultName = faultNameFor(copy);
		return [faultName === undefined ? { kind: 'copy-readable', copy } : { kind: 'copy-unreadable', copy, faultName }];
	});
}

/** The catalog of a new diff area is durable before its first segment is made. */
function checkIsNew(directory: string, segments: SegmentStore): void {
	const [first] = segments.epochsOnDisk();
	if (first === undefined) return;
	throw corrupt(
		'catalog-missing',
		`${directory}: holds segments (of epoch ${first} and later), but no catalog says of which shadow copies: put it back; ${WAY_ON}`,
	);
}

/** What is kept counts; without copies there is nothing that the size of the volume could be wrong for. */
function catalogFor(options: DiffAreaOptions, stored: StoredCatalog | undefined): CatalogBody {
	const fresh = newCatalog(options);
	if (!stored) return fresh;
	if (stored.copies.length > 0 || stored.volumeSizeBytes === options.volumeSizeBytes) return { ...fresh, ...stored };
	const { volumeSizeBytes, chunkSizeBytes } = fresh;
	return { ...fresh, ...stored, volumeSizeBytes, chunkSizeBytes, segments: [] };
}

function newCatalog(options: DiffAreaOptions): CatalogBody {
	return {
		volumeId: options.newVolumeId,
		volumeSizeBytes: options.volumeSizeBytes,
		chunkSizeBytes: options.newChunkSizeBytes ?? chunkSizeFor(options.volumeSizeBytes),
		maximumBytes: Math.floor(options.volumeSizeBytes / DEFAULT_MAXIMUM_DIVISOR),
		nextEpoch: 1,
		copies: [],
		segments: [],
		volumeStamp: null,
		volumeStates: [],
	};
}

/**
 * Small chunks keep less of what did not change, and a first overwrite waits for less. A larger volume gets larger ones,
 * so that its chunk index stays small.
 */
function chunkSizeFor(volumeSizeBytes: number): number {
	const gibibytes = volumeSizeBytes / 2 ** 30;
	if (gibibytes <= 32) return 4096;
	if (gibibytes <= 256) return 8192;
	if (gibibytes <= 1024) return 16384;
	return gibibytes <= 4096 ? 32768 : 65536;
}

/** A segment that cannot be read. */
interface DamagedSegment {
	readonly epoch: number;
	readonly fault: string;
	readonly faultName: string;
}

/** Takes in the segments from an epoch on. Those of older epochs, which no copy reads, are removed. */
function openSegments(segments: SegmentStore, firstEpoch: number, catalog: CatalogBody) {
	const onDisk = segments.epochsOnDisk().filter((epoch) => !segments.dropUnmade(epoch, catalog.nextEpoch));
	for (const epoch of onDisk) if (epoch < firstEpoch) segments.remove(epoch);
	const damages: DamagedSegment[] = [];
	const read: SegmentReader = ({ epoch, isNewest, durableBytes }, into) => {
		try {
			return segments.read(epoch, isNewest, durableBytes, into);
		} catch (error) {
			segments.keepUnread(epoch, durableBytes);
			damages.push({ epoch, fault: messageOf(error), faultName: faultNameOf(error) });
			return undefined;
		}
	};
	return { ...takeInSegments(segments, onDisk, firstEpoch, catalog, read), damages };
}
