/**
 * One shadow copy as a read-only block device, in any thread, without locks.
 *
 * A chunk that the index does not have for this copy is read from the volume, and then looked up again: the live thread
 * publishes a chunk before it overwrites it, so a second miss proves that the bytes were the old ones; a hit means
 * reading them again, from the diff area. Likewise the copy's life is checked after reading: what a deleted copy reads
 * may have been overwritten or removed meanwhile.
 */
import type { BlockDevice } from '../block/device.ts';
import { ioError, messageOf, missing, NoonmarkError } from '../errors.ts';
import { ChunkRange } from './chunk-range.ts';
import type { DiffAreaReader } from './diff-area-reader.ts';

/** Chunks that are looked up together, for a part of a read. */
const PART_CHUNKS = 256;

export class ShadowView implements BlockDevice {
	readonly sizeBytes: number;
	readonly epoch: number;
	readonly #volume: BlockDevice;
	readonly #reader: DiffAreaReader;
	readonly #baseLocation: number;
	readonly #chunkSizeBytes: number;
	/** Where the chunks of one part of a read are preserved; 0: in the volume. */
	readonly #locations = new Uint32Array(PART_CHUNKS);

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

	announceRead(byteOffset: number, lengthBytes: number): void {
		const end = Math.min(byteOffset + lengthBytes, this.sizeBytes);
		let start = byteOffset;
		for (let at = byteOffset; at < end; ) {
			const chunk = Math.floor(at / this.#chunkSizeBytes);
			const next = Math.min(end, (chunk + 1) * this.#chunkSizeBytes);
			const location = this.#find(chunk);
			if (location !== 0) {
				this.#announceVolume(start, at);
				if (isStored(location)) this.#reader.announce(location);
				start = next;
			}
			at = next;
		}
		this.#announceVolume(start, end);
	}

	close(): void {}

	#announceVolume(start: number, end: number): void {
		if (start < end) this.#volume.announceRead?.(start, end - start);
	}

	#read(byteOffset: number, into: Uint8Array): void {
		const end = byteOffset + into.length;
		for (let at = byteOffset; at < end; ) {
			const stop = Math.min(end, (Math.floor(at / this.#chunkSizeBytes) + PART_CHUNKS) * this.#chunkSizeBytes);
			this.#readPart(new ChunkRange(this.#chunkSizeBytes, at, into.subarray(at - byteOffset, stop - byteOffset)));
			at = stop;
		}
	}

	#readPart(range: ChunkRange): void {
		const locations = this.#locations;
		for (let i = 0; i < range.count; i++) locations[i] = this.#find(range.first + i);
		this.#readVolume(range);
		this.#readPreserved(range);
	}

	#find(chunkIndex: number): number {
		return this.#reader.index.find(chunkIndex, this.#baseLocation);
	}

	/** Reads the chunks that are not preserved, and then finds out which of them were meanwhile. */
	#readVolume(range: ChunkRange): void {
		const locations = this.#locations;
		for (let start = 0; start < range.count; start++) {
			if (locations[start] !== 0) continue;
			let stop = start + 1;
			while (stop < range.count && locations[stop] === 0) stop++;
			this.#volume.read(range.startByte(start), range.bytes(start, stop));
			for (; start < stop; start++) locations[start] = this.#find(range.first + start);
		}
	}

	#readPreserved(range: ChunkRange): void {
		const { chunks } = this.#reader;
		const [whole, parts]: [number[], Uint8Array[]] = [[], []];
		for (let i = 0; i < range.count; i++) {
			const location = this.#locations[i]!;
			if (location === 0) continue;
			const bytes = range.bytes(i, i + 1);
			if (!isStored(location)) bytes.fill(0);
			else if (bytes.length < this.#chunkSizeBytes)
				chunks.readPart(location, range.startByte(i) % this.#chunkSizeBytes, bytes);
			else {
				whole.push(location);
				parts.push(bytes);
			}
		}
		chunks.readWhole(whole, parts);
	}
}

/** Whether a location is that of a preserved chunk that has content: others held nothing but zeros. */
const isStored = (location: number) => location !== 0 && (location & 1) === 0;
