/**
 * The diff area of one volume: the old content of chunks, kept for its shadow copies.
 *
 * Time is divided into epochs, one for each shadow copy: an epoch begins when its copy is committed and ends at the next
 * commit. What is preserved goes to the newest epoch's segment only; copy e reads a chunk from the oldest epoch >= e that
 * holds it, else from the volume. So the cost of a write does not depend on the number of copies, older copies depend
 * on newer segments, and a segment can go once no copy of its epoch or an older one lives.
 *
 * One thread owns a DiffArea and is the only writer of its files and its shared memory.
 * Nothing here fails a live write: out of space, the oldest copies go; out of order (an I/O error), all of them go.
 * What happened is told in `takeEvents`.
 */
import { ioError, messageOf, refused } from '../errors.ts';
import { type CatalogBody, type CatalogCopy, makeDirectory, readCatalog, writeCatalog } from './catalog.ts';
import { ChunkIndex, type ChunkIndexShare } from './chunk-index.ts';
import { EpochTable, PAGES_MAX } from './epoch-table.ts';
import { NeededMap } from './needed-map.ts';
import { PAGE_BYTES } from './segment.ts';
import { forEachPlace, type SegmentContent } from './segment-scan.ts';
import { SegmentStore } from './segment-store.ts';
import { type ChunkContent, type NewRecord, newRecord, type SegmentWriter } from './segment-writer.ts';

export const COPIES_MAX = 512;

/** Nodes of the chunk index where the maximum size does not bound them: 1 GiB of address space. */
const INDEX_NODES_MAX = 1 << 26;

export interface DiffAreaOptions {
	readonly directory: string;
	readonly volumeSizeBytes: number;
	/** How the volume looks now (see the catalog). */
	readonly volumeStamp: string;
	/** The most bytes that its files may take; null = unbounded. */
	readonly maximumBytes: number | null;
	/** 32 hexadecimal digits, for a new diff area. */
	readonly newVolumeId: string;
}

/** What another thread needs to read the shadow copies of a diff area. */
export interface DiffAreaShare {
	readonly directory: string;
	readonly volumeId: string;
	readonly volumeSizeBytes: number;
	readonly chunkSizeBytes: number;
	readonly index: ChunkIndexShare;
	readonly epochs: SharedArrayBuffer;
}

export type DiffAreaEvent =
	/** The oldest copy was deleted to make room. */
	| {
			readonly kind: 'copy-evicted';
			readonly copy: CatalogCopy;
			readonly reason: 'maximum-size' | 'no-space' | 'index-full';
	  }
	/** Copies whose content can no longer be told: what they read is damaged, missing, or could not be preserved. */
	| { readonly kind: 'copies-lost'; readonly copies: readonly CatalogCopy[]; readonly fault: string }
	/** A loss or eviction is not on record in the storage yet; opening the diff area finds it out again. */
	| { readonly kind: 'storage-unwritable'; readonly fault: string };

export class DiffArea {
	readonly share: DiffAreaShare;
	readonly needed: NeededMap;
	readonly #maximumBytes: number | null;
	readonly #index: ChunkIndex;
	readonly #epochs: EpochTable;
	readonly #zeroChunk: Buffer;
	readonly #segments: SegmentStore;
	#copies: CatalogCopy[];
	#writer: SegmentWriter | undefined;
	#prepared: SegmentWriter | undefined;
	/** The page behind everything preserved so far, on the line of all segments. Location 0 means "none". */
	#endPage = 1;
	/** The copy that is committed but not yet durable. */
	#unfinished: CatalogCopy | undefined;
	readonly #events: DiffAreaEvent[] = [];

	/**
	 * Opens the diff area in a directory, or makes one. Errors: refused `volume-changed`, `volume-resized`; those of
	 * the catalog. A damaged or missing segment loses the copies that read it, and no other.
	 */
	static open(options: DiffAreaOptions): DiffArea {
		makeDirectory(options.directory);
		const catalog = readCatalog(options.directory) ?? newCatalog(options);
		checkVolume(catalog, options);
		return new DiffArea(options, catalog);
	}

	private constructor(options: DiffAreaOptions, catalog: CatalogBody) {
		const { directory, maximumBytes } = options;
		const { volumeId, volumeSizeBytes, chunkSizeBytes } = catalog;
		const chunkCount = Math.ceil(volumeSizeBytes / chunkSizeBytes);
		const firstEpoch = catalog.copies[0]?.epoch ?? catalog.nextEpoch;
		const identity = { volumeId: Buffer.from(volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
		this.#segments = new SegmentStore(directory, identity);
		const opened = openSegments(this.#segments, firstEpoch, catalog);
		this.#maximumBytes = maximumBytes;
		this.#copies = [...catalog.copies];
		this.#zeroChunk = Buffer.alloc(chunkSizeBytes);
		this.needed = new NeededMap(chunkCount);
		this.#epochs = EpochTable.create(firstEpoch);
		this.#index = ChunkIndex.create(chunkCount, nodeCapacity(maximumBytes, chunkSizeBytes, opened));
		const [index, epochs] = [this.#index.share, this.#epochs.share];
		this.share = { directory, volumeId, volumeSizeBytes, chunkSizeBytes, index, epochs };
		this.#takeIn(opened, firstEpoch);
		this.#writeCatalog(null);
	}

	/** Oldest first. */
	get copies(): readonly CatalogCopy[] {
		return this.#copies;
	}

	/** What happened since the last call. */
	takeEvents(): readonly DiffAreaEvent[] {
		if (this.#events.length === 0) return this.#events;
		return this.#events.splice(0);
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
		return this.#maximumBytes;
	}

	/** Bytes that the host file system has given to the directory's files. */
	get allocatedBytes(): number {
		return this.#segments.allocatedBytes;
	}

	/**
	 * Does what a commit can do before writes are held: the next segment, durable, by name too.
	 * Where the disk is full the oldest copies go. Errors: refused `too-many-copies`; io `storage-unwritable`.
	 */
	prepareCommit(): void {
		if (this.#copies.length >= COPIES_MAX) {
			throw refused(
				'too-many-copies',
				`the volume has ${this.#copies.length} shadow copies, the most it can have; delete one first`,
			);
		}
		if (this.#epochs.isFull)
			throw refused('too-many-epochs', 'this service has made its last shadow copy: unmount and mount again');
		this.abortCommit();
		while (!this.#prepared) {
			try {
				this.#prepared = this.#segments.create(this.#epochs.nextEpoch);
			} catch (error) {
				this.#segments.remove(this.#epochs.nextEpoch);
				if (!isNoSpace(error) || this.#copies.length === 0) {
					throw ioError(
						'storage-unwritable',
						`${this.share.directory}: no segment can be made: ${messageOf(error)}`,
						error,
					);
				}
				this.#evictOldest('no-space');
			}
		}
	}

	/** Begins the new epoch: every write after this call is preserved for the new copy. Needs prepareCommit. */
	commit(label: unknown): CatalogCopy {
		const writer = this.#prepared;
		if (!writer) throw new Error('commit without prepareCommit');
		this.#prepared = undefined;
		this.#writer?.close();
		this.#writer = writer;
		this.#segments.adopt(writer);
		this.#beginEpoch(writer.lengthBytes);
		this.#epochs.setLiving(writer.epoch, true);
		this.needed.setAll();
		const copy = { epoch: writer.epoch, label };
		this.#copies.push(copy);
		this.#unfinished = copy;
		return copy;
	}

	/** Makes the newest copy durable: it is in the catalog. Until then a crash forgets it, and loses nothing else. */
	finishCommit(): void {
		const unfinished = this.#unfinished;
		this.#unfinished = undefined;
		try {
			this.#writeCatalog(null);
		} catch (error) {
			this.#unfinished = unfinished;
			throw error;
		}
	}

	/** Drops what prepareCommit and commit made, up to finishCommit. */
	abortCommit(): void {
		const unfinished = this.#unfinished;
		this.#unfinished = undefined;
		if (unfinished && this.#copies.includes(unfinished)) this.#drop([unfinished]);
		if (!this.#prepared) return;
		this.#prepared.close();
		this.#segments.remove(this.#prepared.epoch);
		this.#prepared = undefined;
	}

	/** Deletes a copy. Its chunks stay as long as an older copy may read them. Returns false where it is not there. */
	delete(epoch: number): boolean {
		const copy = this.#copies.find((candidate) => candidate.epoch === epoch);
		if (!copy) return false;
		this.#drop([copy]);
		this.#writeCatalog(null);
		return true;
	}

	/**
	 * Preserves the old content of chunks (at most RECORD_CHUNKS_MAX): durable, then in the index. On return the live
	 * chunks may be overwritten. Deletes copies where there is no room, all of them where preserving fails.
	 */
	preserve(chunks: readonly ChunkContent[]): void {
		if (!this.#writer) return;
		const record = newRecord(chunks, this.#zeroChunk);
		while (this.#writer) {
			const reason = this.#obstacle(record) ?? this.#appendDurably(this.#writer, record);
			if (reason === undefined) return;
			this.#evictOldest(reason);
		}
	}

	/** Closes in order: `volumeStamp` tells the next `open` that nobody changed the volume since. */
	close(volumeStamp: string | null): void {
		this.abortCommit();
		this.#writer?.close();
		this.#writer = undefined;
		this.#writeCatalog(volumeStamp);
	}

	#appendDurably(writer: SegmentWriter, record: NewRecord): 'no-space' | undefined {
		try {
			const places = writer.append(record);
			writer.sync();
			this.#segments.adopt(writer);
			this.#endPage = this.#epochs.basePage(writer.epoch) + writer.lengthBytes / PAGE_BYTES;
			for (const place of places) {
				this.#index.publish(place.chunkIndex, this.#epochs.locationOf({ epoch: writer.epoch, ...place }));
				this.needed.clear(place.chunkIndex);
			}
			return undefined;
		} catch (error) {
			if (isNoSpace(error)) return 'no-space';
			this.#loseCopies(this.#copies, `old chunks could not be written to ${this.share.directory}: ${messageOf(error)}`);
			this.#tryWriteCatalog();
			return undefined;
		}
	}

	/** Why the record cannot be appended now. */
	#obstacle(record: NewRecord): 'maximum-size' | 'index-full' | undefined {
		const chunkCount = record.data.length + record.zeros.length;
		if (this.#maximumBytes !== null && this.usedBytes + record.sizeBytes > this.#maximumBytes) return 'maximum-size';
		if (this.#endPage + record.sizeBytes / PAGE_BYTES >= PAGES_MAX) return 'index-full';
		if (!this.#index.hasRoom(chunkCount)) {
			this.#index.reclaim(this.#epochs.baseLocation(this.#copies[0]!.epoch));
			if (!this.#index.hasRoom(chunkCount)) return 'index-full';
		}
		return undefined;
	}

	#evictOldest(reason: 'maximum-size' | 'no-space' | 'index-full'): void {
		const copy = this.#copies[0]!;
		this.#drop([copy]);
		this.#events.push({ kind: 'copy-evicted', copy, reason });
		this.#tryWriteCatalog();
	}

	#loseCopies(copies: readonly CatalogCopy[], fault: string): void {
		if (copies.length === 0) return;
		this.#events.push({ kind: 'copies-lost', copies: [...copies], fault });
		this.#drop(copies);
	}

	/**
	 * Readers learn that the copies are gone before anything they read changes; then the segments that no living copy
	 * reads are removed. Segments go before the catalog names the loss: on a full disk that makes the room to write it,
	 * and a copy in the catalog without its segment is dropped when the diff area is opened.
	 */
	#drop(copies: readonly CatalogCopy[]): void {
		for (const { epoch } of copies) this.#epochs.setLiving(epoch, false);
		this.#copies = this.#copies.filter((copy) => !copies.includes(copy));
		if (this.#copies.length === 0) {
			this.#writer?.close();
			this.#writer = undefined;
			this.needed.clearAll();
		}
		const oldestKept = this.#copies[0]?.epoch ?? Number.POSITIVE_INFINITY;
		for (const epoch of [...this.#segments.lengths.keys()]) {
			if (epoch < oldestKept) this.#removeSegment(epoch);
		}
	}

	/** Puts what the segments hold into the index. Copies that read one that is damaged or missing are lost. */
	#takeIn(opened: readonly OpenedSegment[], firstEpoch: number): void {
		let lostUpTo = 0;
		let fault = '';
		opened.forEach((segment, i) => {
			const epoch = firstEpoch + i;
			this.#beginEpoch(segment.content?.lengthBytes ?? 0);
			if (segment.content) this.#publish(epoch, segment.content);
			else [lostUpTo, fault] = [epoch, segment.fault];
		});
		for (const { epoch } of this.#copies) this.#epochs.setLiving(epoch, true);
		this.#loseCopies(
			this.#copies.filter(({ epoch }) => epoch <= lostUpTo),
			fault,
		);
		const newest = opened.at(-1)?.content;
		if (this.#copies.length > 0 && newest) this.#resume(firstEpoch + opened.length - 1, newest);
		else this.#drop([]);
	}

	#publish(epoch: number, content: SegmentContent): void {
		forEachPlace(content, (place) =>
			this.#index.publish(place.chunkIndex, this.#epochs.locationOf({ epoch, ...place })),
		);
	}

	/** Goes on preserving in the newest segment: what it holds already is not needed again. */
	#resume(epoch: number, content: SegmentContent): void {
		this.needed.setAll();
		forEachPlace(content, ({ chunkIndex }) => this.needed.clear(chunkIndex));
		this.#writer = this.#segments.reopen(epoch, content);
	}

	#beginEpoch(segmentBytes: number): void {
		this.#epochs.append(this.#endPage);
		this.#endPage += segmentBytes / PAGE_BYTES;
	}

	/** A segment that will not go takes up space, no more: the next opening removes it. It must not fail a live write. */
	#removeSegment(epoch: number): void {
		try {
			this.#segments.remove(epoch);
		} catch (error) {
			this.#events.push({ kind: 'storage-unwritable', fault: messageOf(error) });
		}
	}

	/** For the path of a live write, which must not fail: the next catalog that is written tells the same. */
	#tryWriteCatalog(): void {
		try {
			this.#writeCatalog(null);
		} catch (error) {
			this.#events.push({ kind: 'storage-unwritable', fault: messageOf(error) });
		}
	}

	#writeCatalog(volumeStamp: string | null): void {
		const { volumeId, volumeSizeBytes, chunkSizeBytes, directory } = this.share;
		const { nextEpoch } = this.#epochs;
		const copies = this.#copies.filter((copy) => copy !== this.#unfinished);
		const segments = [...this.#segments.lengths].map(([epoch, durableBytes]) => ({ epoch, durableBytes }));
		writeCatalog(directory, { volumeId, volumeSizeBytes, chunkSizeBytes, nextEpoch, copies, segments, volumeStamp });
	}
}

function isNoSpace(error: unknown): boolean {
	const { code } = error as NodeJS.ErrnoException;
	return code === 'ENOSPC' || code === 'EDQUOT';
}

function newCatalog(options: DiffAreaOptions): CatalogBody {
	return {
		volumeId: options.newVolumeId,
		volumeSizeBytes: options.volumeSizeBytes,
		chunkSizeBytes: chunkSizeFor(options.volumeSizeBytes),
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

/**
 * Room for every chunk that the maximum size allows, and as much again for zero entries and versions of deleted copies;
 * never less than twice what is there already.
 */
function nodeCapacity(maximumBytes: number | null, chunkSizeBytes: number, opened: readonly OpenedSegment[]): number {
	const present = opened.reduce((sum, { content }) => sum + (content?.places.length ?? 0) / 2, 0);
	const allowed = maximumBytes === null ? INDEX_NODES_MAX : Math.ceil(maximumBytes / chunkSizeBytes);
	return Math.max(1 << 16, 2 * present, Math.min(INDEX_NODES_MAX, 2 * allowed));
}

/** A segment's content, or why it cannot be had. */
type OpenedSegment = { readonly content: SegmentContent } | { readonly content: undefined; readonly fault: string };

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

function checkVolume(catalog: CatalogBody, options: DiffAreaOptions): void {
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
