/**
 * The writable face of the volume: copy before write, with the cost of durability shared by many writes.
 *
 * The live device is a disk with a volatile write cache. A write to a chunk that must be preserved first is *held*: its
 * old content and its new content stand in memory side by side, reads see the new one. Draining writes all old chunks
 * to the diff area as one record, makes it durable once, and only then overwrites the volume. It happens at a flush, at
 * a commit, when the held chunks fill a record, and when the oldest has been held for HOLD_MS_MAX. Writes to other
 * chunks go straight to the volume: between two flushes a disk may reorder as it likes.
 *
 * Discards and zeroing preserve what they need at once.
 */
import type { WritableBlockDevice } from '../block/device.ts';
import type { DiffArea } from './diff-area.ts';
import { HeldChunks } from './held-chunks.ts';

/** How long an answered write may stay in memory without a flush. */
const HOLD_MS_MAX = 100;

export class LiveVolume implements WritableBlockDevice {
	readonly sizeBytes: number;
	readonly #volume: WritableBlockDevice;
	readonly #diffArea: DiffArea;
	readonly #chunkSizeBytes: number;
	readonly #monotonicMs: () => number;
	readonly #held: HeldChunks;
	#oldestHeldMs = 0;
	/** A held write that the volume refused: told at the next flush, as a disk does. */
	#lateError: unknown;

	/** The caller opens and closes the volume and the diff area. `monotonicMs` is a clock that never jumps. */
	constructor(volume: WritableBlockDevice, diffArea: DiffArea, monotonicMs: () => number) {
		this.sizeBytes = volume.sizeBytes;
		this.#volume = volume;
		this.#diffArea = diffArea;
		this.#chunkSizeBytes = diffArea.share.chunkSizeBytes;
		this.#monotonicMs = monotonicMs;
		this.#held = new HeldChunks(this.#chunkSizeBytes);
	}

	read(byteOffset: number, into: Uint8Array): void {
		this.#volume.read(byteOffset, into);
		if (this.#held.size === 0) return;
		this.#forEachPiece(byteOffset, into.length, (chunkIndex, start, end, done) => {
			this.#held.readOver(chunkIndex, start, end, into.subarray(done));
		});
	}

	write(byteOffset: number, from: Uint8Array): void {
		let written = 0; // bytes before this one are written or held
		let toHold = false;
		const finishUpTo = (done: number) => {
			const bytes = from.subarray(written, done);
			if (toHold) this.#hold(byteOffset + written, bytes);
			else if (bytes.length > 0) this.#volume.write(byteOffset + written, bytes);
			written = done;
		};
		this.#forEachPiece(byteOffset, from.length, (chunkIndex, _start, _end, done) => {
			// A held chunk stays held where its copy is deleted meanwhile: draining would undo what went past it.
			const isToHold = this.#diffArea.needed.isNeeded(chunkIndex) || this.#held.has(chunkIndex);
			if (isToHold === toHold) return;
			finishUpTo(done);
			toHold = isToHold;
		});
		finishUpTo(from.length);
	}

	zero(byteOffset: number, lengthBytes: number, free: boolean): void {
		this.drain();
		const end = byteOffset + lengthBytes;
		this.#forEachPiece(byteOffset, lengthBytes, (chunkIndex) => {
			if (this.#diffArea.needed.isNeeded(chunkIndex) && !this.#held.has(chunkIndex)) this.#takeIn(chunkIndex, end);
		});
		this.drain();
		this.#volume.zero(byteOffset, lengthBytes, free);
	}

	flush(): void {
		this.drain();
		const error = this.#lateError;
		this.#lateError = undefined;
		if (error !== undefined) throw error;
		this.#volume.flush();
	}

	/** Preserves and writes everything that is held. */
	drain(): void {
		if (this.#held.size === 0) return;
		this.#diffArea.preserve(this.#held.oldContents());
		for (const { byteOffset, bytes } of this.#held.dirtyPieces()) {
			try {
				this.#volume.write(byteOffset, bytes);
			} catch (error) {
				this.#lateError ??= error;
			}
		}
		this.#held.clear();
	}

	/** Drains what has been held long enough. Returns the milliseconds until it wants to be called again; -1 = nothing is held. */
	drainIfDue(): number {
		if (this.#held.size === 0) return -1;
		const leftMs = this.#oldestHeldMs + HOLD_MS_MAX - this.#monotonicMs();
		if (leftMs > 0) return Math.ceil(leftMs);
		this.drain();
		return -1;
	}

	close(): void {
		this.drain();
	}

	#hold(byteOffset: number, bytes: Uint8Array): void {
		this.#forEachPiece(byteOffset, bytes.length, (chunkIndex, start, end, done) => {
			if (!this.#held.has(chunkIndex)) this.#takeIn(chunkIndex, byteOffset + bytes.length);
			this.#held.overwrite(chunkIndex, start, bytes.subarray(done, done + end - start));
		});
	}

	/** Holds a chunk, and with it those behind it, up to a byte offset, that are needed and there is room for. */
	#takeIn(firstChunk: number, endBytes: number): void {
		if (this.#held.roomChunks === 0) this.drain();
		const countMax = Math.min(this.#held.roomChunks, Math.ceil(endBytes / this.#chunkSizeBytes) - firstChunk);
		const isToTakeIn = (chunkIndex: number) =>
			this.#diffArea.needed.isNeeded(chunkIndex) && !this.#held.has(chunkIndex);
		let count = 1;
		while (count < countMax && isToTakeIn(firstChunk + count)) count++;
		this.#diffArea.checkRoom(this.#held.size + count);
		if (this.#held.size === 0) this.#oldestHeldMs = this.#monotonicMs();
		this.#readChunks(firstChunk, this.#held.oldOfNext(count));
		this.#held.add(firstChunk, count);
	}

	/** Reads whole chunks; the last one of the volume may be short and is filled up with zeros. */
	#readChunks(firstChunk: number, into: Buffer): void {
		const byteOffset = firstChunk * this.#chunkSizeBytes;
		const lengthBytes = Math.min(into.length, this.sizeBytes - byteOffset);
		this.#volume.read(byteOffset, into.subarray(0, lengthBytes));
		into.fill(0, lengthBytes);
	}

	/** Splits a range at the borders of chunks: chunk, start and end within it, and bytes of the range before it. */
	#forEachPiece(
		byteOffset: number,
		lengthBytes: number,
		visit: (chunkIndex: number, start: number, end: number, done: number) => void,
	): void {
		for (let done = 0; done < lengthBytes; ) {
			const chunkIndex = Math.floor((byteOffset + done) / this.#chunkSizeBytes);
			const start = byteOffset + done - chunkIndex * this.#chunkSizeBytes;
			const end = Math.min(this.#chunkSizeBytes, start + lengthBytes - done);
			visit(chunkIndex, start, end, done);
			done += end - start;
		}
	}
}
