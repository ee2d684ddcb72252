import type { BlockDevice } from './device.ts';
import type { LineCache } from './line-cache.ts';

/** As much as the kernel's ext4 reads of an inode table at once. */
const WINDOW_BYTES = 1 << 17;

/**
 * A cache of aligned lines over a device whose content cannot change. A miss reads a whole line, so that what lies
 * together (an inode table, a directory's blocks) costs one read. The lines are kept in a cache that other devices may
 * share.
 */
export class CachedDevice implements BlockDevice {
	readonly sizeBytes: number;
	readonly #source: BlockDevice;
	readonly #lineBytes: number;
	readonly #cache: LineCache;
	readonly #number: number;
	/** Windows that are to be read as a whole. */
	readonly #windows = new Set<number>();
	/** Made where it is needed: many devices are opened for a moment only. */
	#buffer: Buffer | undefined;
	#lastLine = -1;
	#lastBytes: Buffer = Buffer.alloc(0);

	/** `lineBytes` is a power of two; nothing that `view` is asked for may cross a line. The source stays the caller's. */
	constructor(source: BlockDevice, options: { lineBytes: number; cache: LineCache }) {
		this.sizeBytes = source.sizeBytes;
		this.#source = source;
		this.#lineBytes = options.lineBytes;
		this.#cache = options.cache;
		this.#number = options.cache.enter();
	}

	read(byteOffset: number, into: Uint8Array): void {
		for (let done = 0; done < into.length; ) {
			const at = byteOffset + done;
			const inLine = at % this.#lineBytes;
			const line = this.#line((at - inLine) / this.#lineBytes);
			const count = Math.min(into.length - done, line.length - inLine);
			if (count <= 0)
				throw new RangeError(`${into.length} bytes at ${byteOffset}, but the device has ${this.sizeBytes}`);
			line.copy(into, done, inLine, inLine + count);
			done += count;
		}
	}

	/** The bytes themselves, not a copy: never to be changed. They must lie in one line and on the device. */
	view(byteOffset: number, lengthBytes: number): Buffer {
		const inLine = byteOffset % this.#lineBytes;
		const line = this.#line((byteOffset - inLine) / this.#lineBytes);
		if (inLine + lengthBytes > line.length) {
			throw new RangeError(`${lengthBytes} bytes at ${byteOffset} cross a cache line or the device's end`);
		}
		return line.subarray(inLine, inLine + lengthBytes);
	}

	/**
	 * A hint: `view` will be asked for these places soon. The source may fetch what is not kept of them, all at once. Where
	 * several lines of a window are wanted, the whole window is fetched, and read when the first of them is asked for.
	 */
	announce(byteOffsets: readonly number[]): void {
		this.#windows.clear();
		const wanted = new Map<number, number>();
		for (const byteOffset of byteOffsets) {
			const line = Math.floor(byteOffset / this.#lineBytes);
			if (this.#cache.has(this.#number, line)) continue;
			const window = Math.floor(byteOffset / WINDOW_BYTES);
			const other = wanted.get(window);
			if (other === undefined) wanted.set(window, line);
			else if (other !== line) this.#windows.add(window);
		}
		for (const [window, line] of wanted) {
			if (this.#windows.has(window)) this.#source.announceRead?.(window * WINDOW_BYTES, WINDOW_BYTES);
			else this.#source.announceRead?.(line * this.#lineBytes, this.#lineBytes);
		}
	}

	/** Drops the lines, for good: it must not be used after this. The source is not closed: it belongs to who made it. */
	close(): void {
		this.#cache.leave(this.#number);
	}

	/** An error is nobody's who did not ask for the very bytes: who does is told. */
	#readWindow(window: number): void {
		const start = window * WINDOW_BYTES;
		this.#buffer ??= Buffer.allocUnsafeSlow(WINDOW_BYTES);
		const bytes = this.#buffer.subarray(0, Math.min(WINDOW_BYTES, this.sizeBytes - start));
		try {
			this.#source.read(start, bytes);
		} catch {
			return;
		}
		for (let done = 0; done < bytes.length; done += this.#lineBytes) {
			const line = Buffer.allocUnsafeSlow(Math.min(this.#lineBytes, bytes.length - done));
			bytes.copy(line, 0, done);
			this.#cache.set(this.#number, (start + done) / this.#lineBytes, line);
		}
	}

	#line(index: number): Buffer {
		if (index === this.#lastLine) return this.#lastBytes;
		let bytes = this.#cache.get(this.#number, index);
		if (!bytes && this.#windows.size > 0) {
			const window = Math.floor((index * this.#lineBytes) / WINDOW_BYTES);
			if (this.#windows.delete(window)) this.#readWindow(window);
			bytes = this.#cache.get(this.#number, index);
		}
		if (!bytes) {
			const start = index * this.#lineBytes;
			bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(this.#lineBytes, this.sizeBytes - start)));
			this.#source.read(start, bytes);
			this.#cache.set(this.#number, index, bytes);
		}
		this.#lastLine = index;
		this.#lastBytes = bytes;
		return bytes;
	}
}
