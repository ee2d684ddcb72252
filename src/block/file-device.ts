import {
	closeSync,
	constants,
	fdatasyncSync,
	fstatSync,
	openSync,
	readlinkSync,
	readSync,
	statSync,
	writeSync,
} from 'node:fs';
import { ioError, messageOf, missing, refused } from '../errors.ts';
import {
	FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_PUNCH_HOLE,
	FALLOC_FL_ZERO_RANGE,
	fallocate,
	ioctl,
	SystemError,
	startRead,
	startWriteback,
} from '../system/libc.ts';
import type { WritableBlockDevice } from './device.ts';

const BLKGETSIZE64 = 0x80081272;
/**
 * The host's page cache keeps what one call wrote in folios of up to that size, and a later small write walks over all
 * blocks of its folio, twice: with folios of 1 MiB that costs as much as all the rest of such a write.
 */
const WRITE_BYTES_MAX = 1 << 16;
/** So much between two flushes is little, and the next flush is expected soon. */
const LITTLE_BYTES = 1 << 20;
/** The disk begins with so many writes while the next ones are coming in. */
const WRITES_STARTED_TOGETHER = 8;
const ZEROS = Buffer.alloc(1 << 16);
/** What is open in this process, by number: opened anew through it, it is the same file, whatever its name is by now. */
const OPEN_FILES = '/proc/self/fd/';

/** A regular file or a block device node, through the page cache of the host. */
export class FileDevice implements WritableBlockDevice {
	readonly path: string;
	readonly sizeBytes: number;
	readonly fd: number;
	#bytesSinceFlush = 0;
	#writesToStart = 0;

	private constructor(path: string, fd: number, sizeBytes: number) {
		this.path = path;
		this.fd = fd;
		this.sizeBytes = sizeBytes;
	}

	/**
	 * A block device that is opened for writing is taken for this process alone: the kernel then lets nobody mount it.
	 * `path` may be the steady path of one that is open: messages have the file's name.
	 * Errors: missing `no-such-image`; refused `not-a-disk` where the path is neither a file nor a block device,
	 * `image-in-use` where a device is mounted; io `open-failed`.
	 */
	static open(path: string, mode: 'read' | 'write'): FileDevice {
		const isDevice = statSync(path, { throwIfNoEntry: false })?.isBlockDevice() ?? false;
		const name = path.startsWith(OPEN_FILES) ? readlinkSync(path) : path;
		const fd = openPath(
			path,
			name,
			mode === 'read' ? constants.O_RDONLY : constants.O_RDWR | (isDevice ? constants.O_EXCL : 0),
		);
		try {
			return new FileDevice(name, fd, sizeOf(name, fd));
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/**
	 * A path to this very file as long as it is open here: in this process, in any thread. Something else may take its name
	 * at any time.
	 */
	get steadyPath(): string {
		return `${OPEN_FILES}${this.fd}`;
	}

	read(byteOffset: number, into: Uint8Array): void {
		this.#checkRange(byteOffset, into.length);
		for (let done = 0; done < into.length; ) {
			const count = this.#attempt('read', byteOffset, () =>
				readSync(this.fd, into, done, into.length - done, byteOffset + done),
			);
			if (count === 0)
				throw ioError('short-read', `${this.path}: ends at byte ${byteOffset + done}, expected ${this.sizeBytes}`);
			done += count;
		}
	}

	announceRead(byteOffset: number, lengthBytes: number): void {
		startRead(this.fd, byteOffset, lengthBytes);
	}

	write(byteOffset: number, from: Uint8Array): void {
		this.#checkRange(byteOffset, from.length);
		this.#bytesSinceFlush += from.length;
		for (let done = 0; done < from.length; ) {
			done += this.#attempt('write', byteOffset, () =>
				writeSync(this.fd, from, done, Math.min(from.length - done, WRITE_BYTES_MAX), byteOffset + done),
			);
		}
		this.#writesToStart++;
		if (this.#writesToStart === WRITES_STARTED_TOGETHER) this.prepareFlush();
	}

	zero(byteOffset: number, lengthBytes: number, free: boolean): void {
		this.#checkRange(byteOffset, lengthBytes);
		const mode = FALLOC_FL_KEEP_SIZE | (free ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
		try {
			fallocate(this.fd, mode, byteOffset, lengthBytes);
		} catch (error) {
			if (!(error instanceof SystemError) || error.code !== 'ENOTSUP') {
				throw ioError(
					'write-failed',
					`${this.path}: zeroing ${lengthBytes} bytes at ${byteOffset} failed: ${messageOf(error)}`,
					error,
				);
			}
			this.#writeZeros(byteOffset, lengthBytes);
		}
	}

	/**
	 * Where little was written since the last flush, the kernel begins to write it to the disk, so that the next flush waits
	 * for less. That happens with every few writes; the owner calls it, too, when there is nothing else to do.
	 */
	prepareFlush(): void {
		if (this.#writesToStart === 0 || this.#bytesSinceFlush > LITTLE_BYTES) return;
		this.#writesToStart = 0;
		startWriteback(this.fd);
	}

	flush(): void {
		this.#bytesSinceFlush = 0;
		this.#writesToStart = 0;
		this.#attempt('flush', 0, () => fdatasyncSync(this.fd));
	}

	close(): void {
		closeSync(this.fd);
	}

	#writeZeros(byteOffset: number, lengthBytes: number): void {
		for (let done = 0; done < lengthBytes; done += ZEROS.length) {
			this.write(byteOffset + done, ZEROS.subarray(0, Math.min(ZEROS.length, lengthBytes - done)));
		}
	}

	#checkRange(byteOffset: number, lengthBytes: number): void {
		if (byteOffset < 0 || byteOffset + lengthBytes > this.sizeBytes) {
			throw new RangeError(`${this.path}: ${lengthBytes} bytes at ${byteOffset}, but it has ${this.sizeBytes}`);
		}
	}

	#attempt<T>(verb: 'read' | 'write' | 'flush', byteOffset: number, action: () => T): T {
		try {
			return action();
		} catch (error) {
			throw ioError(`${verb}-failed`, `${this.path}: ${verb} at byte ${byteOffset} failed: ${messageOf(error)}`, error);
		}
	}
}

function openPath(path: string, name: string, flags: number): number {
	try {
		return openSync(path, flags);
	} catch (error) {
		const code = (error as NodeJS.ErrnoException).code;
		if (code === 'ENOENT') throw missing('no-such-image', `${name}: there is no such file`);
		if (code === 'EBUSY') throw refused('image-in-use', `${name}: the device is mounted or in use by another program`);
		throw ioError('open-failed', `${name}: cannot be opened: ${messageOf(error).replace(path, name)}`, error);
	}
}

function sizeOf(path: string, fd: number): number {
	const stats = fstatSync(fd);
	if (stats.isFile()) return stats.size;
	if (!stats.isBlockDevice()) {
		throw refused(
			'not-a-disk',
			`${path}: is a ${stats.isDirectory() ? 'directory' : 'special file'}, expected a disk image or a block device`,
		);
	}
	const size = Buffer.alloc(8);
	ioctl(fd, BLKGETSIZE64, size);
	return Number(size.readBigUInt64LE());
}
