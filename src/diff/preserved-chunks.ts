import { ChunkIndex } from './chunk-index.ts';
import { EpochTable, PAGES_MAX, type PlaceInSegment } from './epoch-table.ts';
import { PAGE_BYTES } from './segment.ts';

/** Nodes of the chunk index where nothing else bounds them: 1 GiB of address space. */
const NODES_MAX = 1 << 26;

/**
 * Where every preserved chunk lies: the chunk index and the epoch table, filled by the one writer of the diff area. Their
 * shared memory is what reading threads look chunks up in.
 */
export class PreservedChunks {
	readonly index: ChunkIndex;
	readonly epochs: EpochTable;
	/** The page behind everything preserved so far, on the line of all segments. Location 0 means "none". */
	#endPage = 1;

	/** `chunksPresent` are in the segments already, `chunksAllowed` by the maximum size. */
	constructor(firstEpoch: number, chunkCount: number, chunksPresent: number, chunksAllowed: number) {
		this.epochs = EpochTable.create(firstEpoch);
		this.index = ChunkIndex.create(chunkCount, nodeCapacity(chunksPresent, chunksAllowed));
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

	publish(chunkIndex: number, place: PlaceInSegment): void {
		this.index.publish(chunkIndex, this.epochs.locationOf(place));
	}

	/** Whether so many chunks in a record of this size can be told; frees what only copies before the oldest could reach. */
	makeRoom(chunkCount: number, recordBytes: number, oldestEpoch: number): boolean {
		if (this.#endPage + recordBytes / PAGE_BYTES >= PAGES_MAX) return false;
		if (this.index.hasRoom(chunkCount)) return true;
		this.index.reclaim(this.epochs.baseLocation(oldestEpoch));
		return this.index.hasRoom(chunkCount);
	}
}

/**
 * Room for every chunk that the maximum size allows, and as much again for zero entries and versions of deleted copies;
 * never less than twice what is there already.
 */
function nodeCapacity(chunksPresent: number, chunksAllowed: number): number {
	return Math.max(1 << 16, 2 * chunksPresent, Math.min(NODES_MAX, 2 * chunksAllowed));
}
