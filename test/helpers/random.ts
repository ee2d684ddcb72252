/** A seeded source of random numbers (mulberry32). Print the seed of every test that uses one. */
export class Random {
	readonly seed: number;
	#state: number;

	constructor(seed: number) {
		this.seed = seed;
		this.#state = seed >>> 0;
	}

	/** An integer in [0, below). */
	integer(below: number): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000) * below);
	}

	bytes(length: number): Buffer {
		const bytes = Buffer.alloc(length);
		for (let i = 0; i < length; i++) bytes[i] = this.integer(256);
		return bytes;
	}

	pick<T>(values: readonly T[]): T {
		return values[this.integer(values.length)]!;
	}
}
