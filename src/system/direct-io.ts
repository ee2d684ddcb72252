/**
 * Files that are written past the page cache (O_DIRECT of open(2)): nothing is copied, and what is seldom read again takes
 * no memory. Places, lengths and memory must be aligned, to pages here; where a file system wants more, or offers none of
 * it, the file is written through the page cache.
 */
import { constants, openSync, writevSync } from 'node:fs';
import { addressOf, endDirectIo } from './libc.ts';

const ALIGNMENT_BYTES = 4096;

/** As openSync. */
export function openDirect(path: string, flags: number, mode?: number): number {
	try {
		return openSync(path, flags | constants.O_DIRECT, mode);
	} catch (error) {
		if (!isRefused(error)) throw error;
		return openSync(path, flags, mode);
	}
}

/** Memory that begins with a page. */
export function alignedMemory(sizeBytes: number): Buffer {
	const memory = Buffer.alloc(sizeBytes + ALIGNMENT_BYTES);
	const start = -addressOf(memory) & (ALIGNMENT_BYTES - 1);
	return memory.subarray(start, start + sizeBytes);
}

/** Writes all of the buffers to a file that openDirect has opened. */
export function writeFully(fd: number, buffers: readonly Uint8Array[], position: number): void {
	try {
		writeAll(fd, buffers, position);
	} catch (error) {
		if (!isRefused(error)) throw error;
		endDirectIo(fd);
		writeAll(fd, buffers, position);
	}
}

function writeAll(fd: number, buffers: readonly Uint8Array[], position: number): void {
	let rest = [...buffers];
	let at = position;
	while (rest.length > 0) {
		let written = writevSync(fd, rest, at);
		at += written;
		const left: Uint8Array[] = [];
		for (const buffer of rest) {
			if (written < buffer.length) left.push(buffer.subarray(written));
			written = Math.max(0, written - buffer.length);
		}
		rest = left;
	}
}

const isRefused = (error: unknown) => (error as NodeJS.ErrnoException).code === 'EINVAL';
