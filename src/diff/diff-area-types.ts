/** What the diff area is given, what it tells, and what it shares with reading threads. Plain data. */
import type { CatalogCopy } from './catalog.ts';
import type { ChunkIndexShare } from './chunk-index.ts';

export interface DiffAreaOptions {
	readonly directory: string;
	readonly volumeSizeBytes: number;
	/** How the volume looks now (see the catalog). */
	readonly volumeStamp: string;
	/** The most bytes that its files may take; null = unbounded. Default: what was kept, at first a tenth of the volume. */
	readonly maximumBytes?: number | null | undefined;
	/** Default: protect-volume. */
	readonly policy?: StoragePolicy;
	/** Default, and the most: COPIES_MAX. */
	readonly maximumCopies?: number;
	/** 32 hexadecimal digits, for a new diff area. */
	readonly newVolumeId: string;
	/** Of a new diff area: a power of two from 4096 to 65536. Default: by the size of the volume. */
	readonly newChunkSizeBytes?: number;
	/** How the volume looks in other words, that hold after a crash (the catalog's volumeStates). Default: that is not looked at. */
	readonly volumeState?: string;
	/** The id that the volume's storage must have, where the volume says that it has copies. Default: any, or none. */
	readonly markedVolumeId?: string;
	/** Copies of epochs before this one are lost, whatever the catalog says (see onUnrecordedLoss). Default: none. */
	readonly lostBefore?: number;
	/**
	 * Copies of epochs before this one are gone, and the storage does not take the note of it: it must be kept elsewhere
	 * before the call returns, and given to the next opening.
	 */
	readonly onUnrecordedLoss?: (lostBefore: number) => void;
}

/**
 * What gives way where old content cannot be kept: the shadow copies (the oldest one by one where there is no room, all of
 * them after an I/O error), or the write to the volume, which then fails.
 */
export type StoragePolicy = 'protect-volume' | 'protect-shadows';

/** As many as Windows' clients show. */
export const COPIES_MAX = 512;

/** What another thread needs to read the shadow copies of a diff area. */
export interface DiffAreaShare {
	readonly directory: string;
	readonly volumeId: string;
	readonly volumeSizeBytes: number;
	readonly chunkSizeBytes: number;
	readonly index: ChunkIndexShare;
	readonly epochs: SharedArrayBuffer;
	readonly records: SharedArrayBuffer;
}

/** Why there was no room for what had to be preserved. */
export type NoRoom = 'maximum-size' | 'no-space' | 'index-full';

/** What happened; `faultName` is errno's name, or the code of one of our errors. */
export type DiffAreaEvent =
	/** The oldest copy was deleted to make room. */
	| { readonly kind: 'copy-evicted'; readonly copy: CatalogCopy; readonly reason: NoRoom }
	/** Copies whose content is gone for good: it could not be preserved. */
	| {
			readonly kind: 'copies-lost';
			readonly copies: readonly CatalogCopy[];
			readonly fault: string;
			readonly faultName: string;
	  }
	/** A segment that a copy reads is damaged, missing or of another volume. The copy is kept, and its `fault` says more. */
	| { readonly kind: 'copy-unreadable'; readonly copy: CatalogCopy; readonly faultName: string }
	/** What a copy reads is back. */
	| { readonly kind: 'copy-readable'; readonly copy: CatalogCopy }
	/** One of the two catalogs was damaged or missing; the other one was read. */
	| { readonly kind: 'catalog-restored'; readonly fault: string }
	/** A write to the volume failed, so that the copies stay; told of the first one of many. */
	| { readonly kind: 'write-refused'; readonly fault: string; readonly faultName: string }
	/** A loss or eviction is not on record in the storage. */
	| { readonly kind: 'storage-unwritable'; readonly fault: string; readonly faultName: string };
