/**
 * What is said over the control socket of a volume service, in lines of JSON: one request a connection, one reply; to
 * `follow` one for each event, to `verify` those of the progress before the last one.
 */
import type { PlainError } from '../errors.ts';
import type { InspectSelection } from '../ext/inspect.ts';
import type { ProviderType } from '../shadow/provider.ts';

export type ControlRequest =
	| { readonly verb: 'status' | 'shadows' | 'storage' | 'events' | 'follow' | 'verify' | 'unmount' }
	/** `noWriters`: nothing is frozen. */
	| { readonly verb: 'create'; readonly noWriters?: boolean }
	| { readonly verb: 'delete'; readonly which: CopySelection }
	| { readonly verb: 'resize'; readonly maximumSize: MaximumSize }
	| { readonly verb: 'inspect'; readonly copy: string; readonly selection: InspectSelection };

/** The answer to `inspect` is a FileSystemReport. */
export type { FileSystemReport, InodeReport, InspectSelection } from '../ext/inspect.ts';

/** The most bytes of a diff area, as the user says it. */
export type MaximumSize = { readonly bytes: number } | { readonly percent: number } | 'unbounded';

/** Copies by name or id, or by place. */
export type CopySelection = { readonly named: readonly string[] } | { readonly all: true } | { readonly oldest: true };

export type ControlReply = { readonly value: unknown } | { readonly error: PlainError };

/** Whether a copy can be read. Of one that cannot, its directory is there and answers with errors. */
export interface CopyState {
	/**
	 * `unreadable`: something in the storage that it reads is damaged or missing; it comes back with that.
	 * `damaged`: its file system contradicts the format; `unsupported`: it has what this version does not know.
	 */
	readonly state: 'created' | 'unreadable' | 'damaged' | 'unsupported';
	/** What is wrong; null for one that can be read. */
	readonly fault: string | null;
}

/** A shadow copy as users see it. */
export interface ShadowCopyReport extends CopyState {
	readonly id: string;
	readonly setId: string;
	readonly name: string;
	/** ISO 8601, UTC, milliseconds. */
	readonly createdAt: string;
	/** Its directory. */
	readonly path: string;
	/** The image. */
	readonly volume: string;
	readonly provider: ProviderType;
	readonly attributes: readonly string[];
	/** Kept for its own epoch. */
	readonly preservedBytes: number;
	/** What deleting it alone would give back; null where nobody has looked. */
	readonly freedByDeletingBytes: number | null;
}

export interface StorageReport {
	readonly volume: string;
	readonly path: string;
	readonly usedBytes: number;
	readonly allocatedBytes: number;
	/** null = unbounded */
	readonly maximumBytes: number | null;
	/** False: for a copy that was just made or mounted, it is not known yet which chunks are free; all are preserved. */
	readonly freeSpaceKnown: boolean;
}

export interface VolumeReport {
	readonly image: string;
	readonly mountpoint: string;
	/** null: mounted to look at only */
	readonly live: string | null;
	readonly data: string | null;
	readonly storage: string;
	readonly pid: number;
	readonly shadowCopyCount: number;
	readonly frozen: boolean;
	readonly readOnly: boolean;
}

/** Something that happened to the copies of a volume, in words. */
export interface VolumeEvent {
	/** ISO 8601, UTC. */
	readonly time: string;
	readonly kind: string;
	/** The name of what caused it (`maximum-size`, `ENOSPC`, …); null where nothing did. */
	readonly fault: string | null;
	readonly message: string;
}

/** The answer to `status`. */
export interface StatusReport {
	readonly volume: VolumeReport;
	readonly storage: StorageReport;
	/** The last ones, oldest first. */
	readonly events: readonly VolumeEvent[];
}

/** What verifying found of a shadow copy. */
export interface VerifiedCopy {
	readonly id: string;
	readonly name: string;
	/** `damaged`: some of what it reads; `unreadable`: something without which it cannot be read at all. */
	readonly state: 'sound' | 'damaged' | 'unreadable';
	/** What was found, in which file, where; the first hundred. */
	readonly faults: readonly string[];
	/** Paths in the copy of what has damaged content; the first thousand. */
	readonly files: readonly string[];
	/** Damaged blocks that are no content of a file: metadata, free space. */
	readonly otherBlocks: number;
}

/** The answers to `verify`: `copies`, all of them, is the last one. */
export type VerifyNews =
	| { readonly progress: { readonly doneBytes: number; readonly totalBytes: number } }
	| { readonly copies: readonly VerifiedCopy[] };
