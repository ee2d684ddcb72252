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
}

/** Why there was no room for what had to be preserved. */
export type NoRoom = 'maximum-size' | 'no-space' | 'index-full';

export type DiffAreaEvent =
	/** The oldest copy was deleted to make room. */
	| { readonly kind: 'copy-evicted'; readonly copy: CatalogCopy; readonly reason: NoRoom }
	/** Copies whose content can no longer be told: what they read is damaged, missing, or could not be preserved. */
	| { readonly kind: 'copies-lost'; readonly copies: readonly CatalogCopy[]; readonly fault: string }
	/** A loss or eviction is not on record in the storage yet; opening the diff area finds it out again. */
	| { readonly kind: 'storage-unwritable'; readonly fault: string };
