import { crc32 } from 'node:zlib';
import { corrupt } from '../errors.ts';
import type { EpochTable } from './epoch-table.ts';
import type { RecordTable } from './record-table.ts';
import { isRecordHead, PAGE_BYTES, type RecordEntry, recordEntryAt } from './segment.ts';

/** Reads pages of an epoch's segment, all that are asked for, or throws. */
export type PageReader = (epoch: number, page: number, into: Uint8Array) => void;

/** Headers that are kept: 1 MiB. */
const HEADS_MAX = 256;

/**
 * Preserved chunks, each checked against its checksum when it is read. The last chunk is kept, for who reads on where it
 * stopped, and the headers of some records.
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

	/** Fills `into` from a byte of the chunk on. Errors: corrupt `chunk-damaged`; those of the reader. */
	read(location: number, byteInChunk: number, into: Uint8Array): void {
		if (location & 1) into.fill(0);
		else if (into.length === this.#chunk.length) this.#readChecked(location, into);
		else this.#readKept(location, byteInChunk, into);
	}

	#readKept(location: number, byteInChunk: number, into: Uint8Array): void {
		if (this.#keptLocation !== location) {
			this.#keptLocation = 0;
			this.#readChecked(location, this.#chunk);
			this.#keptLocation = location;
		}
		into.set(this.#chunk.subarray(byteInChunk, byteInChunk + into.length));
	}

	#readChecked(location: number, into: Uint8Array): void {
		const { epoch, page } = this.#epochs.placeAt(location);
		this.#readPages(epoch, page, into);
		const { chunkIndex, crc32: expected } = this.#entryOf(location >>> 1, epoch);
		if (crc32(into) === expected) return;
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
		this.#readPages(epoch, page, head);
		if (!isRecordHead(head, epoch, page * PAGE_BYTES)) {
			const where = `epoch ${epoch}, byte ${page * PAGE_BYTES} of its segment`;
			throw corrupt('chunk-damaged', `${where}: the header of a record is damaged, so its chunks cannot be checked`);
		}
		if (this.#heads.size === HEADS_MAX) this.#heads.clear();
		this.#heads.set(record, head);
		return head;
	}
}
