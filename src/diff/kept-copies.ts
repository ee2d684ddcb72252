/**
 * Which copies a diff area keeps, in memory and on record, and how it lets them go. A copy that is in the catalog has its
 * segments, so one that goes leaves the catalog first; readers learn of it before anything that they read changes.
 */
import { messageOf } from '../errors.ts';
import { type CatalogBody, type CatalogCopy, writeCatalog } from './catalog.ts';
import type { DiffAreaEvent, DiffAreaOptions, NoRoom } from './diff-area-types.ts';
import type { NeededMap } from './needed-map.ts';
import type { PreservedChunks } from './preserved-chunks.ts';
import type { SegmentStore } from './segment-store.ts';
import { faultNameOf, lostBeforeFinished } from './storage-errors.ts';

/** What the copies are of, and where they are. */
export type KeptLayout = Pick<CatalogBody, 'volumeId' | 'volumeSizeBytes' | 'chunkSizeBytes'> & {
	readonly directory: string;
};

/** What else knows of them. */
export interface KeptIn {
	readonly chunks: PreservedChunks;
	readonly needed: NeededMap;
	readonly segments: SegmentStore;
}

export class KeptCopies {
	/** The most bytes that the diff area may take; null: unbounded. For good with the next `record`. */
	maximumBytes: number | null;
	readonly #layout: KeptLayout;
	readonly #in: KeptIn;
	readonly #onUnrecordedLoss: (lostBefore: number) => void;
	#copies: readonly CatalogCopy[];
	/** The copy that is committed but not yet durable. */
	#unfinished: CatalogCopy | undefined;
	/** Whether the catalog tells which copies there are. Until then what they read must stay. */
	#isRecorded = true;
	/** A catalog that names the unfinished copy may have come to the disk although writing it failed. */
	#isUnfinishedNamed = false;
	#unrecordedLossBefore = 0;
	#refusalTold: string | undefined;
	#volumeStates: readonly string[];
	readonly #events: DiffAreaEvent[];

	/** `events`: what opening found. */
	constructor(
		layout: KeptLayout,
		keptIn: KeptIn,
		copies: readonly CatalogCopy[],
		events: readonly DiffAreaEvent[],
		maximumBytes: number | null,
		{ volumeState, onUnrecordedLoss = () => {} }: Pick<DiffAreaOptions, 'volumeState' | 'onUnrecordedLoss'>,
	) {
		this.#layout = layout;
		this.#in = keptIn;
		this.#copies = copies;
		this.#events = [...events];
		this.maximumBytes = maximumBytes;
		this.#volumeStates = volumeState === undefined ? [] : [volumeState];
		this.#onUnrecordedLoss = onUnrecordedLoss;
	}

	/** Oldest first. */
	get all(): readonly CatalogCopy[] {
		return this.#copies;
	}

	get isRecorded(): boolean {
		return this.#isRecorded;
	}

	/** Copies of epochs before this one are gone, and the catalog may not say so; 0: it does. */
	get unrecordedLossBefore(): number {
		return this.#unrecordedLossBefore;
	}

	/** What happened since the last call. */
	takeEvents(): readonly DiffAreaEvent[] {
		if (this.#events.length === 0) return this.#events;
		return this.#events.splice(0);
	}

	noteUnwritable(error: unknown): void {
		this.#events.push({ kind: 'storage-unwritable', fault: messageOf(error), faultName: faultNameOf(error) });
	}

	/** Tells that a write was refused to keep the copies, once until something was put on record. */
	noteRefusal(faultName: string, error: Error): void {
		if (this.#refusalTold === faultName) return;
		this.#refusalTold = faultName;
		this.#events.push({ kind: 'write-refused', fault: error.message, faultName });
	}

	/** From now on there is this copy, but not on record: until `finish` a crash forgets it. */
	add(copy: CatalogCopy): void {
		this.#in.chunks.epochs.setLiving(copy.epoch, true);
		this.#in.needed.begin(copy.epoch);
		this.#copies = [...this.#copies, copy];
		this.#unfinished = copy;
	}

	/** Puts the copy that was added on record. Errors: io `copy-lost` where it went to make room; `catalog-unwritable`. */
	finish(): void {
		const unfinished = this.#unfinished;
		if (unfinished && !this.#copies.includes(unfinished)) throw lostBeforeFinished();
		this.#unfinished = undefined;
		try {
			this.record(null);
		} catch (error) {
			this.#unfinished = unfinished;
			this.#isUnfinishedNamed = true;
			throw error;
		}
	}

	/** Drops the copy that was added, up to `finish`. One that the catalog does not let go of stays. */
	abort(): void {
		if (this.#unfinished && this.#copies.includes(this.#unfinished) && this.#unnameUnfinished()) {
			this.#forget([this.#unfinished]);
			this.removeUnread();
		}
		this.#unfinished = undefined;
		this.#isUnfinishedNamed = false;
	}

	/** Takes the unfinished copy out of the catalog. Where it may come back, it must be preserved on, to be right then. */
	#unnameUnfinished(): boolean {
		if (!this.#isUnfinishedNamed) return true;
		try {
			this.record(null);
			return true;
		} catch (error) {
			this.noteUnwritable(error);
			return false;
		}
	}

	/** Deletes a copy on request. Errors: io `catalog-unwritable`: the copy stays, for it may come back. */
	delete(copy: CatalogCopy): void {
		this.record(
			null,
			this.#copies.filter((other) => other !== copy),
		);
		this.#forget([copy]);
		this.removeUnread();
	}

	/** Deletes the oldest copy to make room. */
	evictOldest(reason: NoRoom): void {
		const copy = this.#copies[0]!;
		this.#events.push({ kind: 'copy-evicted', copy, reason });
		this.#forget([copy]);
		this.#recordLoss();
	}

	/** Gives all copies up: old content could not be kept. */
	loseAll(fault: string, error: unknown): void {
		this.#events.push({ kind: 'copies-lost', copies: this.#copies, fault, faultName: faultNameOf(error) });
		this.#forget(this.#copies);
		this.#recordLoss();
	}

	noteVolumeStates(states: readonly string[]): void {
		this.#volumeStates = states;
		if (this.#copies.length > 0) this.#recordLoss();
	}

	#forget(copies: readonly CatalogCopy[]): void {
		const { chunks, needed, segments } = this.#in;
		for (const { epoch } of copies) {
			chunks.epochs.setLiving(epoch, false);
			needed.forget(epoch);
		}
		this.#copies = this.#copies.filter((copy) => !copies.includes(copy));
		if (this.#copies.length > 0) return;
		segments.stopGrowing();
		needed.clear();
	}

	/**
	 * Puts on record that copies are gone, then removes what no copy reads any more. It is on the path of a live write,
	 * which must not fail: what the storage does not take is left to `onUnrecordedLoss`, and tried again where the segments
	 * were.
	 */
	#recordLoss(): void {
		if (this.#errorOfRecord() !== undefined) {
			this.#unrecordedLossBefore = this.#copies[0]?.epoch ?? this.#in.chunks.epochs.nextEpoch;
			this.#onUnrecordedLoss(this.#unrecordedLossBefore);
		}
		this.removeUnread();
		const error = this.#isRecorded ? undefined : this.#errorOfRecord();
		if (error !== undefined) this.noteUnwritable(error);
	}

	#errorOfRecord(): unknown {
		try {
			this.record(null);
			return undefined;
		} catch (error) {
			return error;
		}
	}

	/** A segment that will not go takes up space, no more: the next opening removes it. It must not fail a live write. */
	removeUnread(): void {
		const oldestKept = this.#copies[0]?.epoch ?? Number.POSITIVE_INFINITY;
		for (const error of this.#in.segments.removeBefore(oldestKept)) this.noteUnwritable(error);
	}

	/** Writes the catalog; `volumeStamp`: see there. Errors: io `catalog-unwritable`. */
	record(volumeStamp: string | null, kept: readonly CatalogCopy[] = this.#copies): void {
		const { directory, volumeId, volumeSizeBytes, chunkSizeBytes } = this.#layout;
		const { chunks, segments: store } = this.#in;
		const { nextEpoch } = chunks.epochs;
		const copies = kept.filter((copy) => copy !== this.#unfinished);
		const segments = [...store.lengths].map(([epoch, durableBytes]) => ({ epoch, durableBytes }));
		const volumeStates = this.#volumeStates;
		const fixed = { volumeId, volumeSizeBytes, chunkSizeBytes, maximumBytes: this.maximumBytes };
		this.#isRecorded = false;
		writeCatalog(directory, { ...fixed, nextEpoch, copies, segments, volumeStamp, volumeStates });
		this.#isRecorded = true;
		this.#refusalTold = undefined;
		this.#unrecordedLossBefore = 0;
	}
}
