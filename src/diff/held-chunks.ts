import { alignedMemory } from '../system/direct-io.ts';
import { RECORD_CHUNKS_MAX } from './segment.ts';
import type { ChunkContent } from './segment-writer.ts';

/** A chunk of which the bytes from `dirtyStart` to `dirtyEnd` were overwritten; where these are 0, none. */
interface HeldChunk {
	readonly chunkIndex: number;
	readonly slot: number;
	dirtyStart: number;
	dirtyEnd: number;
}

/**
 * Chunks whose old content is not preserved yet, at most RECORD_CHUNKS_MAX: the old content, and beside it what was
 * written since. Both stand in two blocks of memory, a slot for each chunk in the order in which they came, so chunks that
 * follow each other on the volume are read, and written back, in one piece.
 */
export class HeldChunks {
	readonly #chunkSizeBytes: number;
	readonly #chunks = new Map<number, HeldChunk>();
	#old: Buffer | undefined;
	#current: Buffer | undefined;

	constructor(chunkSizeBytes: number) {
		this.#chunkSizeBytes = chunkSizeBytes;
	}

	get size(): number {
		return this.#chunks.size;
	}

	get roomChunks(): number {
		return RECORD_CHUNKS_MAX - this.#chunks.size;
	}

	has(chunkIndex: number): boolean {
		return this.#chunks.has(chunkIndex);
	}

	/** Memory for the old content of so many chunks, which `add` then takes over. */
	oldOfNext(count: number): Buffer {
		return this.#oldAt(this.#chunks.size, count);
	}

	/** Takes in chunks that follow each other, none of which is held. Their old content is in `oldOfNext`. */
	add(firstChunk: number, count: number): void {
		for (let i = 0; i < count; i++) {
			const chunkIndex = firstChunk + i;
			this.#chunks.set(chunkIndex, { chunkIndex, slot: this.#chunks.size, dirtyStart: 0, dirtyEnd: 0 });
		}
	}

	/** Overwrites bytes of a held chunk. */
	overwrite(chunkIndex: number, start: number, bytes: Uint8Array): void {
		const chunk = this.#chunks.get(chunkIndex)!;
		const end = start + bytes.length;
		if (chunk.dirtyEnd === 0) [chunk.dirtyStart, chunk.dirtyEnd] = [start, start];
		// What lies between two overwritten parts is written back with them.
		if (start > chunk.dirtyEnd) this.#keepOld(chunk.slot, chunk.dirtyEnd, start);
		if (end < chunk.dirtyStart) this.#keepOld(chunk.slot, end, chunk.dirtyStart);
		this.#currentBytes().set(bytes, chunk.slot * this.#chunkSizeBytes + start);
		chunk.dirtyStart = Math.min(chunk.dirtyStart, start);
		chunk.dirtyEnd = Math.max(chunk.dirtyEnd, end);
	}

	/** Copies what was overwritten between `start` and `end` of a chunk over `into`, which begins at `start`. */
	readOver(chunkIndex: number, start: number, end: number, into: Uint8Array): void {
		const chunk = this.#chunks.get(chunkIndex);
		if (!chunk) return;
		const [from, to] = [Math.max(start, chunk.dirtyStart), Math.min(end, chunk.dirtyEnd)];
		if (from >= to) return;
		const base = chunk.slot * this.#chunkSizeBytes;
		into.set(this.#currentBytes().subarray(base + from, base + to), from - start);
	}

	/** Ascending. */
	oldContents(): ChunkContent[] {
		return this.#sorted().map(({ chunkIndex, slot }) => ({ chunkIndex, content: this.#oldAt(slot, 1) }));
	}

	/** What was overwritten, ascending; pieces that follow each other, in memory too, are one. */
	*dirtyPieces(): Generator<{ byteOffset: number; bytes: Buffer }> {
		const chunks = this.#sorted().filter(({ dirtyEnd }) => dirtyEnd > 0);
		for (let i = 0; i < chunks.length; ) {
			const first = chunks[i]!;
			let last = first;
			for (i++; i < chunks.length && this.#continues(last, chunks[i]!); i++) last = chunks[i]!;
			yield {
				byteOffset: first.chunkIndex * this.#chunkSizeBytes + first.dirtyStart,
				bytes: this.#currentBytes().subarray(
					first.slot * this.#chunkSizeBytes + first.dirtyStart,
					last.slot * this.#chunkSizeBytes + last.dirtyEnd,
				),
			};
		}
	}

	clear(): void {
		this.#chunks.clear();
	}

	#continues(before: HeldChunk, after: HeldChunk): boolean {
		const follows = after.chunkIndex === before.chunkIndex + 1 && after.slot === before.slot + 1;
		return follows && before.dirtyEnd === this.#chunkSizeBytes && after.dirtyStart === 0;
	}

	#keepOld(slot: number, start: number, end: number): void {
		this.#currentBytes().set(this.#oldAt(slot, 1).subarray(start, end), slot * this.#chunkSizeBytes + start);
	}

	#sorted(): HeldChunk[] {
		return [...this.#chunks.values()].sort((a, b) => a.chunkIndex - b.chunkIndex);
	}

	#oldAt(slot: number, count: number): Buffer {
		this.#old ??= alignedMemory(RECORD_CHUNKS_MAX * this.#chunkSizeBytes);
		return this.#old.subarray(slot * this.#chunkSizeBytes, (slot + count) * this.#chunkSizeBytes);
	}

	#currentBytes(): Buffer {
		this.#current ??= alignedMemory(RECORD_CHUNKS_MAX * this.#chunkSizeBytes);
		return this.#current;
	}
}
