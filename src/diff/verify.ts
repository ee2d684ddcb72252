/** Reads what a diff area holds and checks it against its checksums; tells which copies read what is damaged. */
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { messageOf } from '../errors.ts';
import type { DiffAreaReader } from './diff-area-reader.ts';
import {
	checkSegmentHeader,
	decodeRecordHead,
	PAGE_BYTES,
	type RecordHead,
	type SegmentIdentity,
	segmentFileName,
} from './segment.ts';

/** A segment, up to a length that does not change any more. */
export interface SegmentToVerify {
	readonly epoch: number;
	readonly lengthBytes: number;
}

/** Pages of a segment that cannot be relied on, from `page` up to `endPage`. */
export interface SegmentFault {
	readonly epoch: number;
	readonly page: number;
	readonly endPage: number;
	/** The chunk that was kept there; undefined: whatever was. */
	readonly chunkIndex: number | undefined;
	/** What was found, in which file, where. */
	readonly message: string;
}

/** Checks one segment. `onRead` is called with the bytes that were read since the last time. */
export function verifySegment(
	directory: string,
	identity: SegmentIdentity,
	lengthBytes: number,
	onRead: (bytes: number) => void,
): SegmentFault[] {
	const path = join(directory, segmentFileName(identity.epoch));
	const whole = { epoch: identity.epoch, page: 0, endPage: lengthBytes / PAGE_BYTES, chunkIndex: undefined };
	let fd: number;
	try {
		fd = openSync(path, 'r');
	} catch (error) {
		return [{ ...whole, message: `${path}: cannot be opened: ${messageOf(error)}` }];
	}
	try {
		return new SegmentCheck(fd, path, identity, lengthBytes, onRead).faults();
	} catch (error) {
		return [{ ...whole, message: messageOf(error) }];
	} finally {
		closeSync(fd);
	}
}

class SegmentCheck {
	readonly #fd: number;
	readonly #path: string;
	readonly #identity: SegmentIdentity;
	readonly #lengthBytes: number;
	readonly #onRead: (bytes: number) => void;
	readonly #page = Buffer.alloc(PAGE_BYTES);
	readonly #chunk: Buffer;
	readonly #faults: SegmentFault[] = [];

	constructor(
		fd: number,
		path: string,
		identity: SegmentIdentity,
		lengthBytes: number,
		onRead: (bytes: number) => void,
	) {
		this.#fd = fd;
		this.#path = path;
		this.#identity = identity;
		this.#lengthBytes = lengthBytes;
		this.#onRead = onRead;
		this.#chunk = Buffer.alloc(identity.chunkSizeBytes);
	}

	/** Errors: those of checkSegmentHeader. */
	faults(): SegmentFault[] {
		this.#read(this.#page, 0);
		checkSegmentHeader(this.#page, this.#identity, this.#path);
		let sequence = 0;
		for (let atBytes = PAGE_BYTES; atBytes < this.#lengthBytes; ) {
			const head = this.#headAt(atBytes);
			if (head?.sequence === sequence) {
				this.#checkContent(head, atBytes + PAGE_BYTES);
				sequence++;
				atBytes += PAGE_BYTES + head.data.length * this.#identity.chunkSizeBytes;
				continue;
			}
			const next = this.#nextHead(atBytes + PAGE_BYTES, sequence);
			this.#report(atBytes, next.atBytes, undefined, `the header of record ${sequence} is damaged`);
			[atBytes, sequence] = [next.atBytes, next.sequence];
		}
		return this.#faults;
	}

	#checkContent(head: RecordHead, contentAtBytes: number): void {
		head.data.forEach((entry, i) => {
			const atBytes = contentAtBytes + i * this.#chunk.length;
			const endBytes = atBytes + this.#chunk.length;
			const isWhole = this.#read(this.#chunk, atBytes);
			if (isWhole && crc32(this.#chunk) === entry.crc32) return;
			this.#report(atBytes, endBytes, entry.chunkIndex, `the checksum of chunk ${entry.chunkIndex} is wrong`);
		});
	}

	/** The next record behind one whose header is damaged, or the end. */
	#nextHead(fromBytes: number, sequence: number): { atBytes: number; sequence: number } {
		for (let atBytes = fromBytes; atBytes < this.#lengthBytes; atBytes += PAGE_BYTES) {
			const head = this.#headAt(atBytes);
			if (head && head.sequence > sequence) return { atBytes, sequence: head.sequence };
		}
		return { atBytes: this.#lengthBytes, sequence };
	}

	#headAt(atBytes: number): RecordHead | undefined {
		return this.#read(this.#page, atBytes) ? decodeRecordHead(this.#page, this.#identity.epoch, atBytes) : undefined;
	}

	/** False where the file ends before that, or cannot be read there. */
	#read(into: Buffer, atBytes: number): boolean {
		this.#onRead(into.length);
		try {
			return readSync(this.#fd, into, 0, into.length, atBytes) === into.length;
		} catch {
			return false;
		}
	}

	#report(atBytes: number, endBytes: number, chunkIndex: number | undefined, what: string): void {
		this.#faults.push({
			epoch: this.#identity.epoch,
			page: atBytes / PAGE_BYTES,
			endPage: endBytes / PAGE_BYTES,
			chunkIndex,
			message: `${this.#path}: ${what}, at byte ${atBytes}`,
		});
	}
}

/** The chunks that each of these copies reads from what is damaged; copies that read none of it are left out. */
export function touchedChunks(
	fault: SegmentFault,
	{ index, epochs, share }: DiffAreaReader,
	copies: readonly number[],
): Map<number, number[]> {
	const locationOf = (page: number) => epochs.locationOf({ epoch: fault.epoch, page, isZero: false });
	const [first, end] = [locationOf(fault.page), locationOf(fault.endPage)];
	const readers = copies.filter((epoch) => epoch <= fault.epoch);
	const touched = new Map<number, number[]>();
	const visit = (chunkIndex: number) => {
		const location = index.find(chunkIndex, Math.max(1, first));
		if (location === 0 || location >= end) return;
		for (const epoch of readers) {
			if (index.find(chunkIndex, epochs.baseLocation(epoch)) !== location || !epochs.isLiving(epoch)) continue;
			const chunks = touched.get(epoch);
			if (chunks) chunks.push(chunkIndex);
			else touched.set(epoch, [chunkIndex]);
		}
	};
	if (fault.chunkIndex !== undefined) visit(fault.chunkIndex);
	else for (let chunk = 0; chunk * share.chunkSizeBytes < share.volumeSizeBytes; chunk++) visit(chunk);
	return touched;
}
