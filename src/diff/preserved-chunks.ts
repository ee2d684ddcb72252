import { ChunkIndex } from './chunk-index.ts';
import { COPIES_MAX } from './diff-area-types.ts';
import { EpochTable, PAGES_MAX, type PlaceInSegment } from './epoch-table.ts';
import type { PlaceList } from './place-list.ts';
import { RecordTable } from './record-table.ts';
import { PAGE_BYTES } from './segment.ts';

/** Nodes of the chunk index, unless there are more already: 1 GiB of address space. */
const NODES_MAX = 1 << 26;

/**
 * Where every preserved chunk lies: the chunk index and the epoch table, filled by the one writer of the diff area. Their
 * shared memory is what reading threads look chunks up in.
 */
export class PreservedChunks {
	readonly index: ChunkIndex;
	readonly epochs: EpochTable;
	readonly records = RecordTable.create();
	readonly #pagesPerChunk: number;
	/** The page behind everything preserved so far, on the line of all segments. Location 0 means "none". */
	#endPage = 1;

	private constructor(firstEpoch: number, chunkSizeBytes: number, index: ChunkIndex) {
		this.#pagesPerChunk = chunkSizeBytes / PAGE_BYTES;
		this.epochs = EpochTable.create(firstEpoch);
		this.index = index;
	}

	/** Nothing yet; segments of these lengths will be taken in, beginning with that of `firstEpoch`. */
	static forSegments(
		{ volumeSizeBytes, chunkSizeBytes }: { volumeSizeBytes: number; chunkSizeBytes: number },
		firstEpoch: number,
		segmentsBytes: readonly number[],
	): PreservedChunks {
		const chunkCount = Math.ceil(volumeSizeBytes / chunkSizeBytes);
		const expected = Math.ceil(segmentsBytes.reduce((sum, bytes) => sum + bytes, 0) / chunkSizeBytes);
		const index = ChunkIndex.create(chunkCount, nodeCapacity(chunkCount, expected), expected);
		return new PreservedChunks(firstEpoch, chunkSizeBytes, index);
	}

	/** Begins the next epoch, whose segment has this length already. */
	beginEpoch(segmentBytes: number): void {
		this.epochs.append(this.#endPage);
		this.#endPage += segmentBytes / PAGE_BYTES;
	}

	/** Tells how long the newest epoch's segment has become. */
	growTo(epoch: number, segmentBytes: number): void {
		this.#endPage = this.epochs.basePage(epoch) + segmentBytes / PAGE_BYTES;
	}

	/** Whether the chunk was preserved in this epoch or later. */
	isPreserved(chunkIndex: number, epoch: number): boolean {
		return this.index.find(chunkIndex, this.epochs.baseLocation(epoch)) !== 0;
	}

	/** Begins the next epoch with what its segment held when it was opened. Nobody reads the index yet. */
	takeIn(epoch: number, segmentBytes: number, places: PlaceList): void {
		this.beginEpoch(segmentBytes);
		const { words } = places;
		let nextInRecord = -1;
		for (let i = 1; i < words.length; i += 2) {
			if (words[i]! & 1) continue;
			const page = words[i]! >>> 1;
			if (page !== nextInRecord) this.addRecord(epoch, page - 1);
			nextInRecord = page + this.#pagesPerChunk;
		}
		this.index.fill(words, this.epochs.baseLocation(epoch));
	}

	/** Tells where a record with content begins, before its chunks are published. */
	addRecord(epoch: number, page: number): void {
		this.records.append(this.epochs.basePage(epoch) + page);
	}

	publish(chunkIndex: number, place: PlaceInSegment): void {
		this.index.publish(chunkIndex, this.epochs.locationOf(place));
	}

	/** Whether so many chunks in a record of this size can be told; frees what only copies before the oldest could reach. */
	makeRoom(chunkCount: number, recordBytes: number, oldestEpoch: number): boolean {
		if (this.#endPage + recordBytes / PAGE_BYTES >= PAGES_MAX || this.records.isFull) return false;
		if (this.index.hasRoom(chunkCount)) return true;
		this.index.reclaim(this.epochs.baseLocation(oldestEpoch));
		return this.index.hasRoom(chunkCount);
	}
}

/** A Uint32Array has 2^32 words at most, a node four; node 0 is none. */
const NODES_ADDRESSED_MAX = 2 ** 30 - 1;

/** Room for a version of every chunk for every copy, within bounds; never less than twice what is expected. */
function nodeCapacity(chunkCount: number, chunksExpected: number): number {
	return Math.min(NODES_ADDRESSED_MAX, Math.max(2 * chunksExpected, Math.min(NODES_MAX, COPIES_MAX * chunkCount)));
}
