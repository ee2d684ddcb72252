/**
 * The writable face of the volume: copy before write, with the cost of durability shared by many writes.
 *
 * The live device is a disk with a volatile write cache. A write to a chunk that must be preserved first is *held*: its
 * old content and its new content stand in memory side by side, reads see the new one. Draining writes all old chunks
 * to the diff area as one record, makes it durable once, and only then overwrites the volume. It happens at a flush, at
 * a commit, when the held chunks fill a record, and when the oldest has been held for HOLD_MS_MAX. Writes to other
 * chunks go straight to the volume: between two flushes a disk may reorder as it likes.
 *
 * Discards and zeroing are not held: they preserve what they need at once.
 */
import type { WritableBlockDevice } from '../block/device.ts';
import type { DiffArea } from './diff-area.ts';
import { RECORD_CHUNKS_MAX } from './segment.ts';
import type { ChunkContent } from './segment-writer.ts';

/** How long an answered write may stay in memory without a flush. */
const HOLD_MS_MAX = 100;

interface HeldChunk {
	chunkIndex: number;
	readonly old: Buffer;
	readonly current: Buffer;
	dirtyStart: number;
	dirtyEnd: number;
}

export class LiveVolume implements WritableBlockDevice {
	readonly sizeBytes: number;
	readonly #volume: WritableBlockDevice;
	readonly #diffArea: DiffArea;
	readonly #chunkSizeBytes: number;
	readonly #monotonicMs: () => number;
	readonly #held = new Map<number, HeldChunk>();
	readonly #spare: HeldChunk[] = [];
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
	}

	read(byteOffset: number, into: Uint8Array): void {
		this.#volume.read(byteOffset, into);
		if (this.#held.size === 0) return;
		this.#forEachPiece(byteOffset, into.length, (chunkIndex, start, end, done) => {
			const held = this.#held.get(chunkIndex);
			if (held) into.set(held.current.subarray(start, end), done);
		});
	}

	write(byteOffset: number, from: Uint8Array): void {
		let direct = 0; // bytes before this one are written or held
		this.#forEachPiece(byteOffset, from.length, (chunkIndex, start, end, done) => {
			// A held chunk stays held where its copy is deleted meanwhile: draining would undo what went past it.
			if (!this.#diffArea.needed.isNeeded(chunkIndex) && !this.#held.has(chunkIndex)) return;
			if (done > direct) this.#volume.write(byteOffset + direct, from.subarray(direct, done));
			direct = done + (end - start);
			this.#hold(chunkIndex, start, from.subarray(done, direct));
		});
		if (direct < from.length) this.#volume.write(byteOffset + direct, from.subarray(direct));
	}

	zero(byteOffset: number, lengthBytes: number, free: boolean): void {
		this.drain();
		let batch: ChunkContent[] = [];
		this.#forEachPiece(byteOffset, lengthBytes, (chunkIndex) => {
			if (!this.#diffArea.needed.isNeeded(chunkIndex)) return;
			const content = Buffer.alloc(this.#chunkSizeBytes);
			this.#readChunk(chunkIndex, content);
			batch.push({ chunkIndex, content });
			if (batch.length < RECORD_CHUNKS_MAX) return;
			this.#diffArea.preserve(batch);
			batch = [];
		});
		if (batch.length > 0) this.#diffArea.preserve(batch);
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
		const chunks = [...this.#held.values()].sort((a, b) => a.chunkIndex - b.chunkIndex);
		this.#diffArea.preserve(chunks.map(({ chunkIndex, old }) => ({ chunkIndex, content: old })));
		for (const { chunkIndex, current, dirtyStart, dirtyEnd } of chunks) {
			try {
				this.#volume.write(chunkIndex * this.#chunkSizeBytes + dirtyStart, current.subarray(dirtyStart, dirtyEnd));
			} catch (error) {
				this.#lateError ??= error;
			}
		}
		this.#held.clear();
		this.#spare.push(...chunks);
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

	#hold(chunkIndex: number, start: number, bytes: Uint8Array): void {
		let held = this.#held.get(chunkIndex);
		if (!held) {
			if (this.#held.size === RECORD_CHUNKS_MAX) this.drain();
			this.#diffArea.checkRoom(this.#held.size + 1);
			if (this.#held.size === 0) this.#oldestHeldMs = this.#monotonicMs();
			held = this.#newHeldChunk(chunkIndex);
			this.#held.set(chunkIndex, held);
		}
		held.current.set(bytes, start);
		held.dirtyStart = Math.min(held.dirtyStart, start);
		held.dirtyEnd = Math.max(held.dirtyEnd, start + bytes.length);
	}

	#newHeldChunk(chunkIndex: number): HeldChunk {
		const held = this.#spare.pop() ?? {
			chunkIndex,
			old: Buffer.alloc(this.#chunkSizeBytes),
			current: Buffer.alloc(this.#chunkSizeBytes),
			dirtyStart: 0,
			dirtyEnd: 0,
		};
		held.chunkIndex = chunkIndex;
		held.dirtyStart = this.#chunkSizeBytes;
		held.dirtyEnd = 0;
		this.#readChunk(chunkIndex, held.old);
		held.current.set(held.old);
		return held;
	}

	/** Reads a whole chunk; the last one of the volume may be short and is filled up with zeros. */
	#readChunk(chunkIndex: number, into: Buffer): void {
		const byteOffset = chunkIndex * this.#chunkSizeBytes;
		const lengthBytes = Math.min(this.#chunkSizeBytes, this.sizeBytes - byteOffset);
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
