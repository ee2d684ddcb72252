/** What the main thread and the serving threads of a volume service say to each other (see mailbox.ts). Plain data. */
import type { CatalogCopy } from '../diff/catalog.ts';
import type { DiffAreaEvent, DiffAreaOptions, DiffAreaShare } from '../diff/diff-area-types.ts';
import type { PlainError } from '../errors.ts';
import type { ListAheadShare } from '../fuse/list-ahead.ts';
import type { StoreAheadShare } from '../fuse/store-ahead.ts';
import type { TurnsShare } from '../fuse/turns.ts';
import type { DeviceSpecification } from '../shadow/provider.ts';
import type { MailboxEnd } from './mailbox.ts';

export interface LiveThreadSetup {
	readonly mailbox: MailboxEnd;
	/** For messages. */
	readonly imagePath: string;
	readonly volumePath: string;
	readonly readOnly: boolean;
	readonly storage: Omit<DiffAreaOptions, 'volumeSizeBytes' | 'volumeStamp'>;
}

/** The first news of a live thread. */
export interface LiveThreadReady {
	readonly kind: 'ready';
	readonly sizeBytes: number;
	readonly diffArea: DiffAreaShare;
}

export type LiveThreadNews =
	| LiveThreadReady
	/** Instead of ready. */
	| { readonly kind: 'failed'; readonly error: PlainError }
	| { readonly kind: 'events'; readonly events: readonly DiffAreaEvent[] };

export type LiveOrder =
	| { readonly kind: 'prepareCommit' | 'finishCommit' | 'abortCommit' | 'release' | 'copies' | 'segments' | 'storage' }
	/** Ends the session though the mount is in use. */
	| { readonly kind: 'stop' }
	| { readonly kind: 'hold'; readonly timeoutMs: number }
	| { readonly kind: 'commit'; readonly label: unknown }
	| { readonly kind: 'delete'; readonly epoch: number }
	| ({ readonly kind: 'learnOwed' } & NeedThreadNews)
	| { readonly kind: 'resize'; readonly maximumBytes: number | null };

export type CopyInDiffArea = CatalogCopy & {
	readonly preservedBytes: number;
	/** Bytes of the segments that deleting it would remove; 0 for all but the oldest. */
	readonly segmentsBytes: number;
};

export interface StorageUse {
	readonly usedBytes: number;
	readonly allocatedBytes: number;
	readonly maximumBytes: number | null;
	readonly freeSpaceKnown: boolean;
}

/** For a thread that finds out what is owed to copies. */
export interface NeedThreadSetup {
	readonly volumePath: string;
	readonly diffArea: DiffAreaShare;
	/** Oldest first. `isFrozen`: the file system was frozen when the copy was made. */
	readonly copies: readonly { readonly epoch: number; readonly isFrozen: boolean }[];
}

/** See NeededMap.learn. */
export interface NeedThreadNews {
	readonly epochs: readonly number[];
	readonly chunks: Uint8Array<SharedArrayBuffer> | undefined;
}

/** A copy as a browse thread needs it. */
export interface BrowsableCopy {
	readonly number: number;
	readonly name: string;
	readonly createdAtMs: number;
	readonly device: DeviceSpecification;
}

/** What the tree shows, and since when. */
export interface ShownCopies {
	readonly copies: readonly BrowsableCopy[];
	readonly changedAtMs: number;
	/** False: as they lie on the disk. */
	readonly replayJournal: boolean;
}

export interface BrowseThreadSetup {
	readonly mailbox: MailboxEnd;
	readonly fuseFd: number;
	readonly shown: ShownCopies;
	readonly ahead: StoreAheadShare;
	readonly listAhead: ListAheadShare;
	readonly turns: TurnsShare;
	/** 1 to 31: never that of another thread of the mount. */
	readonly threadNumber: number;
	/** The eventfd of all threads of the mount: wakes one of them. */
	readonly aheadFd: number;
	/** For the metadata of all copies that this thread has open. */
	readonly cacheBytes: number;
}

export type BrowseOrder = { readonly kind: 'show'; readonly shown: ShownCopies } | { readonly kind: 'stop' };
