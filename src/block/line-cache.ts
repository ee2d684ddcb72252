import { LRUCache } from 'lru-cache';

/** Lines of one device and those of another have keys that are so far apart. */
const LINES_OF_A_DEVICE = 2 ** 40;
const DEVICES_MAX = 2 ** 13;
const BYTES_MIN = 1 << 18;

/** Lines of cached devices, which share one bound: the line that was used least recently goes first. */
export class LineCache {
	readonly #lines: LRUCache<number, Buffer>;
	readonly #freeNumbers: number[] = [];
	#nextNumber = 0;

	/** `sizeBytes` bounds the lines, but a few of them are kept in any case. */
	constructor(sizeBytes: number) {
		this.#lines = new LRUCache({
			maxSize: Math.max(BYTES_MIN, sizeBytes),
			sizeCalculation: ({ length }) => length || 1,
		});
	}

	/** A number for a device, which no other has until `leave`. */
	enter(): number {
		const number = this.#freeNumbers.pop() ?? this.#nextNumber++;
		if (number >= DEVICES_MAX) throw new RangeError(`more than ${DEVICES_MAX} devices share a cache`);
		return number;
	}

	/** Drops the lines of a device. */
	leave(device: number): void {
		for (const key of [...this.#lines.keys()]) {
			if (Math.floor(key / LINES_OF_A_DEVICE) === device) this.#lines.delete(key);
		}
		this.#freeNumbers.push(device);
	}

	has(device: number, line: number): boolean {
		return this.#lines.has(device * LINES_OF_A_DEVICE + line);
	}

	get(device: number, line: number): Buffer | undefined {
		return this.#lines.get(device * LINES_OF_A_DEVICE + line);
	}

	set(device: number, line: number, bytes: Buffer): void {
		this.#lines.set(device * LINES_OF_A_DEVICE + line, bytes);
	}
}
