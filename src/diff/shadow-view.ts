/**
 * One shadow copy as a read-only block device, in any thread, without locks.
 *
 * A chunk that the index does not have for this copy is read from the volume, and then looked up again: the live thread
 * publishes a chunk before it overwrites it, so a second miss proves that the bytes were the old ones; a hit means
 * reading them again, from the diff area. Likewise the copy's life is checked after reading: what a deleted copy reads
 * may have been overwritten or removed meanwhile.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { BlockDevice } from '../block/device.ts';
import { ioError, messageOf, missing, NoonmarkError } from '../errors.ts';
import { CheckedChunks } from './checked-chunks.ts';
import { ChunkIndex } from './chunk-index.ts';
import type { DiffAreaShare } from './diff-area-types.ts';
import { EpochTable } from './epoch-table.ts';
import { RecordTable } from './record-table.ts';
import { PAGE_BYTES, segmentFileName } from './segment.ts';

/** The diff area as a reading thread sees it: shared by the views of all its copies. */
export class DiffAreaReader {
	readonly share: DiffAreaShare;
	readonly index: ChunkIndex;
	readonly epochs: EpochTable;
	/** What the copies read from the diff area. */
	readonly chunks: CheckedChunks;
	readonly #segmentFds = new Map<number, number>();

	constructor(share: DiffAreaShare) {
		this.share = share;
		this.index = ChunkIndex.attach(share.index);
		this.epochs = EpochTable.attach(share.epochs);
		const records = RecordTable.attach(share.records);
		this.chunks = new CheckedChunks(share.chunkSizeBytes, this.epochs, records, this.#readPages.bind(this));
	}

	#readPages(epoch: number, page: number, into: Uint8Array): void {
		const fd = this.#segmentFds.get(epoch) ?? this.#openSegment(epoch);
		for (let done = 0; done < into.length; ) {
			const count = readSync(fd, into, done, into.length - done, page * PAGE_BYTES + done);
			if (count === 0) throw ioError('short-read', `${this.#path(epoch)}: ends before page ${page} is complete`);
			done += count;
		}
	}

	/** Closes the segments that no living copy reads any more, so that their space is really given back. */
	closeSegmentsBefore(oldestLivingEpoch: number): void {
		for (const [epoch, fd] of this.#segmentFds) {
			if (epoch >= oldestLivingEpoch) continue;
			closeSync(fd);
			this.#segmentFds.delete(epoch);
		}
	}

	close(): void {
		this.closeSegmentsBefore(Number.POSITIVE_INFINITY);
	}

	#openSegment(epoch: number): number {
		const fd = openSync(this.#path(epoch), 'r');
		this.#segmentFds.set(epoch, fd);
		return fd;
	}

	#path(epoch: number): string {
		return join(this.share.directory, segmentFileName(epoch));
	}
}

export class ShadowView implements BlockDevice {
	readonly sizeBytes: number;
	readonly epoch: number;
	readonly #volume: BlockDevice;
	readonly #reader: DiffAreaReader;
	readonly #baseLocation: number;
	readonly #chunkSizeBytes: number;

	/** The caller keeps `volume` and `reader` open as long as the view, and closes them. */
	constructor(volume: BlockDevice, reader: DiffAreaReader, epoch: number) {
		this.#volume = volume;
		this.#reader = reader;
		this.epoch = epoch;
		this.sizeBytes = reader.share.volumeSizeBytes;
		this.#chunkSizeBytes = reader.share.chunkSizeBytes;
		this.#baseLocation = reader.epochs.baseLocation(epoch);
	}

	/** Whether the copy was deleted or lost. */
	isGone(): boolean {
		return !this.#reader.epochs.isLiving(this.epoch);
	}

	get chunkSizeBytes(): number {
		return this.#chunkSizeBytes;
	}

	/** Whether the copy reads this chunk from the diff area, and so does not need the live one any more. */
	isPreserved(chunkIndex: number): boolean {
		return this.#reader.index.find(chunkIndex, this.#baseLocation) !== 0;
	}

	/** Whether a newer copy reads the same here: nothing of it was preserved between the two. */
	readsAsIn(newerEpoch: number, byteOffset: number, lengthBytes: number): boolean {
		const { index, epochs } = this.#reader;
		const newerBase = epochs.baseLocation(newerEpoch);
		const end = Math.ceil((byteOffset + lengthBytes) / this.#chunkSizeBytes);
		for (let chunk = Math.floor(byteOffset / this.#chunkSizeBytes); chunk < end; chunk++) {
			const location = index.find(chunk, this.#baseLocation);
			if (location !== 0 && location < newerBase) return false;
		}
		return true;
	}

	/** Errors: missing `copy-gone` where the copy does not live any more; io. */
	read(byteOffset: number, into: Uint8Array): void {
		if (byteOffset < 0 || byteOffset + into.length > this.sizeBytes) {
			throw new RangeError(`shadow copy: ${into.length} bytes at ${byteOffset}, but it has ${this.sizeBytes}`);
		}
		try {
			this.#read(byteOffset, into);
		} catch (error) {
			if (!this.isGone() && error instanceof NoonmarkError && error.family === 'corrupt') throw error;
			if (!this.isGone())
				throw ioError('read-failed', `shadow copy: read at byte ${byteOffset} failed: ${messageOf(error)}`, error);
		}
		if (this.isGone()) throw missing('copy-gone', 'the shadow copy was deleted');
	}

	close(): void {}

	#read(byteOffset: number, into: Uint8Array): void {
		const end = byteOffset + into.length;
		for (let at = byteOffset; at < end; ) {
			const chunkIndex = Math.floor(at / this.#chunkSizeBytes);
			const location = this.#reader.index.find(chunkIndex, this.#baseLocation);
			const stop =
				location === 0
					? this.#endOfUnpreserved(chunkIndex, end)
					: Math.min(end, (chunkIndex + 1) * this.#chunkSizeBytes);
			const part = into.subarray(at - byteOffset, stop - byteOffset);
			if (location === 0) this.#readVolume(at, part);
			else this.#readPreserved(location, at - chunkIndex * this.#chunkSizeBytes, part);
			at = stop;
		}
	}

	/** The end of the run of chunks from this one on that are to be read from the volume, as far as `end`. */
	#endOfUnpreserved(chunkIndex: number, end: number): number {
		let next = chunkIndex + 1;
		while (next * this.#chunkSizeBytes < end && this.#reader.index.find(next, this.#baseLocation) === 0) next++;
		return Math.min(end, next * this.#chunkSizeBytes);
	}

	#readVolume(byteOffset: number, into: Uint8Array): void {
		this.#volume.read(byteOffset, into);
		const end = byteOffset + into.length;
		for (let at = byteOffset; at < end; ) {
			const chunkIndex = Math.floor(at / this.#chunkSizeBytes);
			const stop = Math.min(end, (chunkIndex + 1) * this.#chunkSizeBytes);
			const location = this.#reader.index.find(chunkIndex, this.#baseLocation);
			if (location !== 0) {
				const part = into.subarray(at - byteOffset, stop - byteOffset);
				this.#readPreserved(location, at - chunkIndex * this.#chunkSizeBytes, part);
			}
			at = stop;
		}
	}

	#readPreserved(location: number, byteInChunk: number, into: Uint8Array): void {
		this.#reader.chunks.read(location, byteInChunk, into);
	}
}
