import { ChunkIndex } from './chunk-index.ts';
import { COPIES_MAX } from './diff-area-types.ts';
import { EpochTable, PAGES_MAX, type PlaceInSegment } from './epoch-table.ts';
import { RecordTable } from './record-table.ts';
import { PAGE_BYTES } from './segment.ts';
import type { SegmentContent } from './segment-scan.ts';

/** Chunks whose heads are in one page of memory. */
const HEADS_IN_PAGE = 1024;

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

	/** `chunksPresent` are in the segments already. */
	constructor(firstEpoch: number, chunkCount: number, chunkSizeBytes: number, chunksPresent: number) {
		this.#pagesPerChunk = chunkSizeBytes / PAGE_BYTES;
		this.epochs = EpochTable.create(firstEpoch);
		this.index = ChunkIndex.create(
			chunkCount,
			nodeCapacity(chunkCount, chunksPresent),
			chunksPresent > chunkCount / HEADS_IN_PAGE,
		);
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

	/** Takes in what a segment held when it was opened. */
	publishAll(epoch: number, { places }: SegmentContent): void {
		const baseLocation = this.epochs.baseLocation(epoch);
		let nextInRecord = -1;
		for (let i = 0; i < places.length; i += 2) {
			const place = places[i + 1]!;
			if ((place & 1) === 0) {
				const page = place >>> 1;
				if (page !== nextInRecord) this.addRecord(epoch, page - 1);
				nextInRecord = page + this.#pagesPerChunk;
			}
			this.index.publish(places[i]!, baseLocation + place);
		}
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

/** Room for a version of every chunk for every copy, within bounds; never less than twice what is there already. */
function nodeCapacity(chunkCount: number, chunksPresent: number): number {
	return Math.max(2 * chunksPresent, Math.min(NODES_MAX, COPIES_MAX * chunkCount));
}
