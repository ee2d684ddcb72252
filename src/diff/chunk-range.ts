/** What a read wants of neighbouring chunks: of the first and of the last one perhaps only a part. */
export class ChunkRange {
	/** The index of the first chunk in the volume; the methods count from it on. */
	readonly first: number;
	readonly count: number;
	readonly #chunkSizeBytes: number;
	readonly #byteOffset: number;
	readonly #into: Uint8Array;

	constructor(chunkSizeBytes: number, byteOffset: number, into: Uint8Array) {
		this.first = Math.floor(byteOffset / chunkSizeBytes);
		this.count = Math.ceil((byteOffset + into.length) / chunkSizeBytes) - this.first;
		this.#chunkSizeBytes = chunkSizeBytes;
		this.#byteOffset = byteOffset;
		this.#into = into;
	}

	/** Where in the volume begins what is wanted of a chunk. */
	startByte(i: number): number {
		return Math.max(this.#byteOffset, (this.first + i) * this.#chunkSizeBytes);
	}

	/** Where the bytes of chunks go to: those from `start` to before `stop`. */
	bytes(start: number, stop: number): Uint8Array {
		const end = (this.first + stop) * this.#chunkSizeBytes - this.#byteOffset;
		return this.#into.subarray(this.startByte(start) - this.#byteOffset, end);
	}
}
