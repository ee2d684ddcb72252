/**
 * The diff area of one volume: the old content of chunks, kept for its shadow copies.
 *
 * Time is divided into epochs, one for each shadow copy: an epoch begins when its copy is committed and ends at the next
 * commit. What is preserved goes to the newest epoch's segment only; copy e reads a chunk from the oldest epoch >= e that
 * holds it, else from the volume. So the cost of a write does not depend on the number of copies, older copies depend
 * on newer segments, and a segment can go once no copy of its epoch or an older one lives.
 *
 * One thread owns a DiffArea and is the only writer of its files and its shared memory.
 * Where old content cannot be kept, the policy says what gives way. By default no live write fails: out of space, the
 * oldest copies go; out of order (an I/O error), all of them go.
 * What happened is told in `takeEvents`.
 */
import { ioError, messageOf, type NoonmarkError, refused } from '../errors.ts';
import type { CatalogCopy } from './catalog.ts';
import {
	COPIES_MAX,
	type DiffAreaEvent,
	type DiffAreaOptions,
	type DiffAreaShare,
	type NoRoom,
	type StoragePolicy,
} from './diff-area-types.ts';
import { KeptCopies } from './kept-copies.ts';
import { NeededMap } from './needed-map.ts';
import { type OpenedDiffArea, openDiffArea } from './opening.ts';
import type { PreservedChunks } from './preserved-chunks.ts';
import { Reclaimer } from './reclaimer.ts';
import { PAGE_BYTES } from './segment.ts';
import type { SegmentContent } from './segment-scan.ts';
import type { SegmentStore } from './segment-store.ts';
import { type ChunkContent, type NewRecord, newRecord, type SegmentWriter } from './segment-writer.ts';
import {
	faultNameOf,
	isNoSpace,
	noSegment,
	notGivenBack,
	notOpened,
	storageFull,
	tooManyCopies,
	tooSmall,
} from './storage-errors.ts';
import type { SegmentToVerify } from './verify.ts';

export class DiffArea {
	readonly share: DiffAreaShare;
	readonly needed: NeededMap;
	readonly #policy: StoragePolicy;
	readonly #maximumCopies: number;
	readonly #chunks: PreservedChunks;
	readonly #zeroChunk: Buffer;
	readonly #segments: SegmentStore;
	readonly #reclaimer: Reclaimer;
	readonly #kept: KeptCopies;
	#prepared: SegmentWriter | undefined;

	/**
	 * Opens the diff area in a directory, or makes one. Errors: those of openDiffArea; io `storage-unwritable`. The
	 * copies that read a damaged or missing segment are kept, but unreadable until it is back; the others do not suffer.
	 */
	static open(options: DiffAreaOptions): DiffArea {
		try {
			return new DiffArea(options, openDiffArea(options));
		} catch (error) {
			throw (error as NodeJS.ErrnoException).errno === undefined ? error : notOpened(options.directory, error);
		}
	}

	private constructor(options: DiffAreaOptions, openedArea: OpenedDiffArea) {
		const { catalog, segments, chunks, newest, copies, events } = openedArea;
		const { directory, maximumBytes = catalog.maximumBytes } = options;
		const { volumeId, volumeSizeBytes, chunkSizeBytes } = catalog;
		const chunkCount = Math.ceil(volumeSizeBytes / chunkSizeBytes);
		this.#segments = segments;
		this.#policy = options.policy ?? 'protect-volume';
		this.#maximumCopies = options.maximumCopies ?? COPIES_MAX;
		this.#zeroChunk = Buffer.alloc(chunkSizeBytes);
		this.needed = new NeededMap(chunkCount);
		this.#chunks = chunks;
		this.#reclaimer = new Reclaimer(chunks, segments, chunkSizeBytes);
		const { index, epochs, records } = chunks;
		const layout = { directory, volumeId, volumeSizeBytes, chunkSizeBytes };
		this.share = { ...layout, index: index.share, epochs: epochs.share, records: records.share };
		const keptIn = { chunks, needed: this.needed, segments };
		this.#kept = new KeptCopies(layout, keptIn, copies, events, maximumBytes, options);
		if (copies.length > 0) this.#goOn(newest);
		this.#kept.record(null);
		this.#kept.removeUnread();
	}

	/** Those that can be read, oldest first. */
	get copies(): readonly CatalogCopy[] {
		return this.#kept.all.filter(({ fault }) => fault === null);
	}

	/** Those, too, that cannot be read because of what is wrong with a segment; oldest first. */
	get allCopies(): readonly CatalogCopy[] {
		return this.#kept.all;
	}

	/** Copies of epochs before this one are gone, and the catalog may not say so; 0: it does. */
	get unrecordedLossBefore(): number {
		return this.#kept.unrecordedLossBefore;
	}

	/** What happened since the last call. */
	takeEvents(): readonly DiffAreaEvent[] {
		return this.#kept.takeEvents();
	}

	/** The segments that can be read; up to these lengths they do not change. */
	get segments(): SegmentToVerify[] {
		return this.#segments.readable;
	}

	/** Bytes of chunks preserved in a copy's own epoch. */
	preservedBytes(epoch: number): number {
		return this.#segments.contentBytes(epoch);
	}

	/** Bytes that count against the maximum size. */
	get usedBytes(): number {
		return this.#segments.usedBytes;
	}

	get maximumBytes(): number | null {
		return this.#kept.maximumBytes;
	}

	/**
	 * Changes the most bytes that its files may take (null: unbounded), for good. Where the copies take more, the oldest
	 * go. Errors: refused `storage-full` where the policy protects them; io `catalog-unwritable`.
	 */
	resize(maximumBytes: number | null): void {
		const isTooMuch = () => maximumBytes !== null && this.#kept.all.length > 0 && this.usedBytes > maximumBytes;
		if (isTooMuch() && this.#policy === 'protect-shadows') throw tooSmall(this.usedBytes, maximumBytes!);
		const before = this.#kept.maximumBytes;
		this.#kept.maximumBytes = maximumBytes;
		try {
			while (isTooMuch()) this.#kept.evictOldest('maximum-size');
			this.#kept.record(null);
		} catch (error) {
			this.#kept.maximumBytes = before;
			throw error;
		}
	}

	/** Bytes that the host file system has given to the directory's files. */
	get allocatedBytes(): number {
		return this.#segments.allocatedBytes;
	}

	/**
	 * Does what a commit can do before writes are held: the next segment, durable, by name too.
	 * Where the disk is full the oldest copies go, if the policy lets them. Errors: refused `too-many-copies`; io
	 * `storage-unwritable`.
	 */
	prepareCommit(): void {
		const count = this.#kept.all.length;
		if (count >= this.#maximumCopies) throw tooManyCopies(count, this.#maximumCopies);
		if (this.#chunks.epochs.isFull)
			throw refused('too-many-epochs', 'this service has made its last shadow copy: unmount and mount again');
		this.abortCommit();
		while (!this.#prepared) {
			try {
				this.#prepared = this.#segments.create(this.#chunks.epochs.nextEpoch);
			} catch (error) {
				this.#segments.tryRemove(this.#chunks.epochs.nextEpoch);
				if (!isNoSpace(error) || this.#kept.all.length === 0 || this.#policy === 'protect-shadows') {
					throw noSegment(this.share.directory, error);
				}
				this.#kept.evictOldest('no-space');
			}
		}
	}

	/** Begins the new epoch: every write after this call is preserved for the new copy. Needs prepareCommit. */
	commit(label: unknown): CatalogCopy {
		const writer = this.#prepared;
		if (!writer) throw new Error('commit without prepareCommit');
		this.#prepared = undefined;
		this.#segments.grow(writer);
		this.#chunks.beginEpoch(writer.lengthBytes);
		const copy = { epoch: writer.epoch, label, fault: null };
		this.#kept.add(copy);
		return copy;
	}

	/** Makes the newest copy durable: it is in the catalog. Until then a crash forgets it, and loses nothing else. */
	finishCommit(): void {
		this.#kept.finish();
	}

	/** Drops what prepareCommit and commit made, up to finishCommit. A copy that the catalog does not let go of stays. */
	abortCommit(): void {
		this.#kept.abort();
		if (!this.#prepared) return;
		this.#prepared.close();
		this.#segments.remove(this.#prepared.epoch);
		this.#prepared = undefined;
	}

	/**
	 * Deletes a copy. Chunks that an older copy reads stay; the space of the others is given back by `reclaim`, or at once
	 * where it was the oldest. Returns false where it is not there. Errors: io `catalog-unwritable`.
	 */
	delete(epoch: number): boolean {
		const copy = this.#kept.all.find((candidate) => candidate.epoch === epoch);
		if (!copy) return false;
		this.#kept.delete(copy);
		const oldest = this.#kept.all[0];
		if (oldest && oldest.epoch < epoch) this.#reclaimer.add(epoch, this.#kept.all);
		return true;
	}

	/** Whether there may be space to be given back that a deleted copy left. */
	get hasToReclaim(): boolean {
		return this.#kept.isRecorded && !this.#reclaimer.isIdle;
	}

	/** Gives back some of it: a step of a few milliseconds, to be repeated while `hasToReclaim`. */
	reclaim(): void {
		try {
			if (this.hasToReclaim) this.#reclaimer.step(this.#kept.all);
		} catch (error) {
			if (faultNameOf(error) === 'ENOTSUP') this.#reclaimer.stop();
			this.#kept.noteUnwritable(notGivenBack(this.share.directory, error));
		}
	}

	/** Bytes of the segments that deleting the oldest copy would remove. */
	get oldestBytes(): number {
		return this.#segments.bytesBefore(this.#kept.all[1]?.epoch ?? Number.POSITIVE_INFINITY);
	}

	/**
	 * Preserves the old content of chunks (at most RECORD_CHUNKS_MAX): durable, then in the index. On return the live
	 * chunks may be overwritten. What cannot be preserved costs copies, or, where the policy protects them, throws:
	 * refused `storage-full`, io `storage-unwritable`; the live chunks must stay as they are then.
	 */
	preserve(chunks: readonly ChunkContent[]): void {
		const missing = chunks.filter(({ chunkIndex }) => this.#isMissing(chunkIndex));
		if (missing.length === 0) return;
		const record = newRecord(missing, this.#zeroChunk);
		while (this.#kept.all.length > 0) {
			const reason = this.#obstacle(record) ?? this.#appendDurably(record);
			if (reason === undefined) return;
			if (this.#policy === 'protect-shadows') throw this.#isFull(reason);
			this.#kept.evictOldest(reason);
		}
	}

	/** Whether a living copy would read the chunk from the volume and may use it. */
	#isMissing(chunkIndex: number): boolean {
		if (!this.needed.isNeeded(chunkIndex)) return false;
		// Where the newest copies were deleted, what the others read may be preserved already.
		const isMissing = !this.#chunks.isPreserved(chunkIndex, this.#kept.all.at(-1)!.epoch);
		if (!isMissing) this.needed.preserved(chunkIndex);
		return isMissing;
	}

	/**
	 * Called before a write is answered that is preserved later, of so many chunks in one record. Errors: refused
	 * `storage-full` where the policy protects the copies and the maximum size leaves no room. A full disk shows later.
	 */
	checkRoom(chunkCount: number): void {
		if (this.#policy !== 'protect-shadows' || this.#kept.all.length === 0) return;
		if (!this.#fits(PAGE_BYTES + chunkCount * this.share.chunkSizeBytes)) throw this.#isFull('maximum-size');
	}

	/** To be called before the volume may look otherwise than until now: how it may look while the diff area is open. */
	noteVolumeStates(states: readonly string[]): void {
		this.#kept.noteVolumeStates(states);
	}

	/** Closes in order: `volumeStamp` tells the next `open` that nobody changed the volume since. */
	close(volumeStamp: string | null): void {
		this.abortCommit();
		this.#segments.stopGrowing();
		this.#kept.record(volumeStamp);
	}

	#appendDurably(record: NewRecord): 'no-space' | undefined {
		try {
			const { epoch, lengthBytes, places } = this.#segments.append(record);
			this.#chunks.growTo(epoch, lengthBytes);
			this.#chunks.addRecord(epoch, (lengthBytes - record.sizeBytes) / PAGE_BYTES);
			for (const place of places) {
				this.#chunks.publish(place.chunkIndex, { epoch, ...place });
				this.needed.preserved(place.chunkIndex);
			}
			return undefined;
		} catch (error) {
			if (isNoSpace(error)) return 'no-space';
			const fault = `old chunks could not be written to ${this.share.directory}: ${messageOf(error)}`;
			if (this.#policy === 'protect-shadows')
				throw this.#refusal(faultNameOf(error), ioError('storage-unwritable', fault, error));
			this.#kept.loseAll(fault, error);
			return undefined;
		}
	}

	#isFull(reason: NoRoom): NoonmarkError {
		return this.#refusal(reason, storageFull(this.share.directory, reason, this.#kept.maximumBytes));
	}

	#refusal(faultName: string, error: NoonmarkError): NoonmarkError {
		this.#kept.noteRefusal(faultName, error);
		return error;
	}

	/** Why the record cannot be appended now. */
	#obstacle(record: NewRecord): NoRoom | undefined {
		if (!this.#fits(record.sizeBytes)) return 'maximum-size';
		const chunkCount = record.data.length + record.zeros.length;
		return this.#chunks.makeRoom(chunkCount, record.sizeBytes, this.#kept.all[0]!.epoch) ? undefined : 'index-full';
	}

	#fits(moreBytes: number): boolean {
		return this.#kept.maximumBytes === null || this.usedBytes + moreBytes <= this.#kept.maximumBytes;
	}

	/** Goes on preserving for the copies that were found; `newest`: the content of the newest segment. */
	#goOn(newest: SegmentContent | undefined): void {
		for (const { epoch } of this.copies) this.#chunks.epochs.setLiving(epoch, true);
		if (newest) this.#resume(this.#chunks.epochs.nextEpoch - 1, newest);
		else this.#beginSpareEpoch();
		this.#reclaimer.addAll(this.#kept.all);
	}

	/**
	 * The newest segment is unreadable: what it would get goes to a new one, for an epoch without a copy. When the missing
	 * one is back, copies read from it first.
	 */
	#beginSpareEpoch(): void {
		const { nextEpoch } = this.#chunks.epochs;
		try {
			this.#segments.grow(this.#segments.create(nextEpoch));
		} catch (error) {
			this.#segments.tryRemove(nextEpoch);
			throw noSegment(this.share.directory, error);
		}
		this.#chunks.beginEpoch(this.#segments.lengths.get(nextEpoch)!);
		for (const { epoch } of this.#kept.all) this.needed.begin(epoch);
	}

	/** Goes on preserving in the newest segment: what it holds already is not needed again. */
	#resume(epoch: number, content: SegmentContent): void {
		for (const copy of this.#kept.all) this.needed.begin(copy.epoch);
		const { words } = content.places;
		for (let i = 0; i < words.length; i += 2) this.needed.preserved(words[i]!);
		this.#segments.grow(this.#segments.reopen(epoch, content));
	}
}
