import { closeSync, constants, fdatasyncSync, fsyncSync, ftruncateSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { alignedMemory, openDirect, writeFully } from '../system/direct-io.ts';
import {
	encodeRecordHead,
	encodeSegmentHeader,
	PAGE_BYTES,
	type PreservedChunk,
	placesOf,
	type RecordEntry,
	type SegmentIdentity,
} from './segment.ts';

export interface ChunkContent {
	readonly chunkIndex: number;
	/** Exactly one chunk of bytes. */
	readonly content: Buffer;
}

/** A record to be: its chunks, told apart by whether they hold anything but zeros. */
export interface NewRecord {
	readonly data: readonly RecordEntry[];
	readonly zeros: readonly RecordEntry[];
	readonly contents: readonly Buffer[];
	readonly sizeBytes: number;
}

/** Makes the record of at most RECORD_CHUNKS_MAX chunks. */
export function newRecord(chunks: readonly ChunkContent[], zeroChunk: Buffer): NewRecord {
	const data: RecordEntry[] = [];
	const zeros: RecordEntry[] = [];
	const contents: Buffer[] = [];
	for (const { chunkIndex, content } of chunks) {
		if (content.equals(zeroChunk)) {
			zeros.push({ chunkIndex, crc32: 0 });
		} else {
			data.push({ chunkIndex, crc32: crc32(content) });
			contents.push(content);
		}
	}
	return { data, zeros, contents, sizeBytes: PAGE_BYTES + contents.length * zeroChunk.length };
}

/**
 * Appends records to the segment of the newest epoch, past the page cache: old content is seldom read soon. Errors of the
 * file system pass through unchanged (ENOSPC, EIO).
 */
export class SegmentWriter {
	readonly epoch: number;
	readonly #fd: number;
	readonly #pagesPerChunk: number;
	readonly #headPage = alignedMemory(PAGE_BYTES);
	#lengthBytes: number;
	#sequence: number;

	private constructor(fd: number, identity: SegmentIdentity, lengthBytes: number, sequence: number) {
		this.epoch = identity.epoch;
		this.#fd = fd;
		this.#pagesPerChunk = identity.chunkSizeBytes / PAGE_BYTES;
		this.#lengthBytes = lengthBytes;
		this.#sequence = sequence;
	}

	/** Makes a new segment with its header, durable. The caller makes its name durable. */
	static create(path: string, identity: SegmentIdentity): SegmentWriter {
		const fd = openDirect(path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
		const writer = new SegmentWriter(fd, identity, PAGE_BYTES, 0);
		try {
			writer.#headPage.set(encodeSegmentHeader(identity));
			writeFully(fd, [writer.#headPage], 0);
			fsyncSync(fd);
		} catch (error) {
			closeSync(fd);
			throw error;
		}
		return writer;
	}

	/** Goes on behind the records that a scan found sound; what lies behind them is cut off. */
	static reopen(path: string, identity: SegmentIdentity, lengthBytes: number, nextSequence: number): SegmentWriter {
		const fd = openDirect(path, constants.O_RDWR);
		try {
			ftruncateSync(fd, lengthBytes);
			fdatasyncSync(fd);
		} catch (error) {
			closeSync(fd);
			throw error;
		}
		return new SegmentWriter(fd, identity, lengthBytes, nextSequence);
	}

	get lengthBytes(): number {
		return this.#lengthBytes;
	}

	/** Appends one record; returns the places of its chunks once it is durable. A failed append leaves no trace. */
	append(record: NewRecord): PreservedChunk[] {
		const at = this.#lengthBytes;
		const head = { sequence: this.#sequence, atBytes: at, data: record.data, zeros: record.zeros };
		encodeRecordHead(head, this.epoch, this.#headPage);
		try {
			writeFully(this.#fd, [this.#headPage, ...record.contents], at);
			fdatasyncSync(this.#fd);
		} catch (error) {
			ftruncateSync(this.#fd, at);
			throw error;
		}
		this.#sequence++;
		this.#lengthBytes = at + record.sizeBytes;
		return [...placesOf(head, at / PAGE_BYTES, this.#pagesPerChunk)];
	}

	close(): void {
		closeSync(this.#fd);
	}
}
