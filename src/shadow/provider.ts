/**
 * What makes and keeps shadow copies of one volume: the one interface behind which system, software and hardware
 * providers stand (VSS: IVssProviderCreateSnapshotSet, IVssSoftwareSnapshotProvider).
 */
import type { DiffAreaShare } from '../diff/diff-area-types.ts';
import type { ShadowCopy } from './shadow-copy.ts';

export type ProviderType = 'system' | 'software' | 'hardware';

/** Where a copy's content is to be had: plain data, so that any thread can open it as a BlockDevice. */
export type DeviceSpecification =
	| {
			readonly kind: 'diff-area';
			readonly volumePath: string;
			readonly diffArea: DiffAreaShare;
			readonly epoch: number;
	  }
	/** The volume itself, which nobody writes to. */
	| { readonly kind: 'volume'; readonly volumePath: string };

/** A copy that a provider keeps. */
export interface ProvidedCopy {
	readonly copy: ShadowCopy;
	readonly device: DeviceSpecification;
	/** A number of this copy alone, 1 to 2^31, never used again: the high half of its inode numbers. */
	readonly number: number;
	/** Bytes kept for this copy's own epoch. */
	readonly preservedBytes: number;
	/** What is wrong with something that it reads, so that it cannot be read now; null: it can. */
	readonly fault: string | null;
}

/**
 * The calls of a creation come in this order: prepare, commit, finish; or abort instead of any of them. Between prepare
 * and commit the volume's writers are frozen and its writes held, so commit must be short and must not wait for
 * anything that writes to the volume.
 */
export interface Provider {
	readonly type: ProviderType;
	/** The copies that are kept, oldest first. */
	copies(): Promise<ProvidedCopy[]>;
	/** For each copy's id, how many bytes deleting it alone would give back. */
	bytesFreedByDeleting(): Promise<ReadonlyMap<string, number>>;
	/** Everything that may take long. */
	prepare(): Promise<void>;
	/** The point in time: the copy is the volume as it is now. */
	commit(copy: ShadowCopy): Promise<void>;
	/** Makes the copy durable; it is reported as created only afterwards. */
	finish(): Promise<void>;
	/** Drops what was prepared or committed, at any point of the sequence. */
	abort(): Promise<void>;
	/** False where the provider has no such copy. */
	delete(copyId: string): Promise<boolean>;
}
