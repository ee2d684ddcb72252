/**
 * One bit a chunk: preserve it before it is overwritten. A new shadow copy sets every bit (its used chunks may be any),
 * preserving a chunk clears its bit: from then on the newest epoch holds what every living copy reads there.
 */
export class NeededMap {
	readonly chunkCount: number;
	readonly #bits: Uint8Array;

	constructor(chunkCount: number) {
		this.chunkCount = chunkCount;
		this.#bits = new Uint8Array(Math.ceil(chunkCount / 8));
	}

	isNeeded(chunkIndex: number): boolean {
		return (this.#bits[chunkIndex >> 3]! & (1 << (chunkIndex & 7))) !== 0;
	}

	clear(chunkIndex: number): void {
		this.#bits[chunkIndex >> 3]! &= ~(1 << (chunkIndex & 7));
	}

	setAll(): void {
		this.#bits.fill(0xff);
	}

	clearAll(): void {
		this.#bits.fill(0);
	}
}
