import { crc32 } from 'node:zlib';
import { corrupt } from '../errors.ts';
import type { EpochTable } from './epoch-table.ts';
import type { RecordTable } from './record-table.ts';
import { isRecordHead, PAGE_BYTES, type RecordEntry, recordEntryAt } from './segment.ts';

/** Fills the parts, one after the other, with what an epoch's segment has from a page on: all of them, or it throws. */
export type PageReader = (epoch: number, page: number, parts: readonly Uint8Array[]) => void;

/** Headers that are kept: 1 MiB. */
const HEADS_MAX = 256;
/** A header that lies between two chunks that are read together. */
const PASSED_OVER = Buffer.alloc(PAGE_BYTES);

/**
 * Preserved chunks, each checked against its checksum when it is read. Those that lie together in a segment are read
 * together, straight to where they are wanted. The last one of which a part was asked for is kept, for who reads on where
 * it stopped, and the headers of some records.
 */
export class CheckedChunks {
	readonly #epochs: EpochTable;
	readonly #records: RecordTable;
	readonly #readPages: PageReader;
	readonly #chunk: Buffer;
	/** The location of the chunk that is kept; 0: none. */
	#keptLocation = 0;
	/** Headers of records, by their pages on the line of segments. */
	readonly #heads = new Map<number, Buffer>();

	constructor(chunkSizeBytes: number, epochs: EpochTable, records: RecordTable, readPages: PageReader) {
		this.#epochs = epochs;
		this.#records = records;
		this.#readPages = readPages;
		this.#chunk = Buffer.alloc(chunkSizeBytes);
	}

	/** Fills `into` from a byte of a chunk that has content on. Errors: corrupt `chunk-damaged`; those of reading. */
	readPart(location: number, byteInChunk: number, into: Uint8Array): void {
		if (this.#keptLocation !== location) {
			this.#keptLocation = 0;
			this.#readRun([location], [this.#chunk]);
			this.#keptLocation = location;
		}
		into.set(this.#chunk.subarray(byteInChunk, byteInChunk + into.length));
	}

	/** Fills each part with a whole chunk that has content. Errors: as `readPart`. */
	readWhole(locations: readonly number[], parts: readonly Uint8Array[]): void {
		for (let i = 0; i < locations.length; ) {
			const stop = this.#endOfRun(locations, i);
			this.#readRun(locations.slice(i, stop), parts.slice(i, stop));
			i = stop;
		}
	}

	/** Where the run ends of chunks that lie one behind the other in a segment, but for headers of records between them. */
	#endOfRun(locations: readonly number[], start: number): number {
		let stop = start + 1;
		while (stop < locations.length && this.#isNext(locations[stop - 1]!, locations[stop]!)) stop++;
		return stop;
	}

	/** Two epochs are farther apart: a segment has a header of its own. */
	#isNext(before: number, location: number): boolean {
		const pages = this.#pagesBetween(before, location);
		return pages === 0 || pages === 1;
	}

	#pagesBetween(before: number, location: number): number {
		return (location - before) / 2 - this.#chunk.length / PAGE_BYTES;
	}

	#readRun(locations: readonly number[], parts: readonly Uint8Array[]): void {
		const { epoch, page } = this.#epochs.placeAt(locations[0]!);
		const stored: Uint8Array[] = [];
		for (let i = 0; i < parts.length; i++) {
			if (i > 0 && this.#pagesBetween(locations[i - 1]!, locations[i]!) === 1) stored.push(PASSED_OVER);
			stored.push(parts[i]!);
		}
		this.#readPages(epoch, page, stored);
		for (let i = 0; i < parts.length; i++) this.#check(locations[i]!, epoch, parts[i]!);
	}

	#check(location: number, epoch: number, content: Uint8Array): void {
		const { chunkIndex, crc32: expected } = this.#entryOf(location >>> 1, epoch);
		if (crc32(content) === expected) return;
		const page = (location >>> 1) - this.#epochs.basePage(epoch);
		throw corrupt(
			'chunk-damaged',
			`epoch ${epoch}, byte ${page * PAGE_BYTES} of its segment: the checksum of chunk ${chunkIndex} is wrong; "noonmark verify" says what is touched`,
		);
	}

	#entryOf(linePage: number, epoch: number): RecordEntry {
		const record = this.#records.find(linePage);
		const head = this.#heads.get(record) ?? this.#readHead(record, epoch);
		return recordEntryAt(head, ((linePage - record - 1) * PAGE_BYTES) / this.#chunk.length);
	}

	#readHead(record: number, epoch: number): Buffer {
		const head = Buffer.alloc(PAGE_BYTES);
		const page = record - this.#epochs.basePage(epoch);
		this.#readPages(epoch, page, [head]);
		if (!isRecordHead(head, epoch, page * PAGE_BYTES)) {
			const where = `epoch ${epoch}, byte ${page * PAGE_BYTES} of its segment`;
			throw corrupt('chunk-damaged', `${where}: the header of a record is damaged, so its chunks cannot be checked`);
		}
		if (this.#heads.size === HEADS_MAX) this.#heads.clear();
		this.#heads.set(record, head);
		return head;
	}
}
