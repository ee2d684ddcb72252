/** Where the copies begin on the line of locations (see chunk-index.ts), to tell who reads a version of a chunk. */
export class CopyBases {
	readonly #bases: Float64Array;

	/** The base locations of the copies, oldest first. */
	constructor(baseLocations: readonly number[]) {
		this.#bases = Float64Array.from(baseLocations);
	}

	/** How many copies begin at this location or before. */
	countUpTo(location: number): number {
		let low = 0;
		let high = this.#bases.length;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (this.#bases[middle]! <= location) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	/**
	 * Whether no copy reads the version of a chunk at `location`, before which there is one at `previousLocation` (0:
	 * none), although it lies behind the beginning of the oldest copy, so that its segment is kept.
	 */
	isLeftOver(previousLocation: number, location: number): boolean {
		const newest = this.countUpTo(location);
		return newest > 0 && this.#bases[newest - 1]! <= previousLocation;
	}
}
