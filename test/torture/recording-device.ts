/** A disk that writes down what is done to it: the handler of a live file in a thread of its own. */
import { openSync, readFileSync, writeSync } from 'node:fs';
import type { WritableBlockDevice } from '../../src/block/device.ts';
import { LiveFile } from '../../src/fuse/live-file.ts';

export type DiskWrite =
	| { readonly kind: 'write'; readonly at: number; readonly bytes: Buffer }
	| { readonly kind: 'zero'; readonly at: number; readonly lengthBytes: number; readonly free: boolean }
	| { readonly kind: 'flush' };

const KINDS = ['write', 'zero', 'free', 'flush'] as const;
const HEAD_BYTES = 24;

/** `image`: what the disk holds at first. `log`: where its writes are put down. */
export function createHandler({ image, log }: { image: string; log: string }): LiveFile {
	return new LiveFile(new RecordingDevice(readFileSync(image), openSync(log, 'w')), {
		mode: 0o600,
		modifiedAtMs: 0,
	});
}

class RecordingDevice implements WritableBlockDevice {
	readonly sizeBytes: number;
	readonly #content: Buffer;
	readonly #logFd: number;

	constructor(content: Buffer, logFd: number) {
		this.sizeBytes = content.length;
		this.#content = content;
		this.#logFd = logFd;
	}

	read(byteOffset: number, into: Uint8Array): void {
		into.set(this.#content.subarray(byteOffset, byteOffset + into.length));
	}

	write(byteOffset: number, from: Uint8Array): void {
		this.#content.set(from, byteOffset);
		this.#note('write', byteOffset, from.length, from);
	}

	zero(byteOffset: number, lengthBytes: number, free: boolean): void {
		this.#content.fill(0, byteOffset, byteOffset + lengthBytes);
		this.#note(free ? 'free' : 'zero', byteOffset, lengthBytes);
	}

	flush(): void {
		this.#note('flush', 0, 0);
	}

	close(): void {}

	#note(kind: (typeof KINDS)[number], at: number, lengthBytes: number, bytes?: Uint8Array): void {
		const head = Buffer.alloc(HEAD_BYTES);
		for (const [i, value] of [KINDS.indexOf(kind), at, lengthBytes].entries())
			head.writeBigUInt64LE(BigInt(value), 8 * i);
		writeSync(this.#logFd, Buffer.concat(bytes ? [head, bytes] : [head]));
	}
}

/** What a log says, each with the log's length behind it. */
export function* readLog(log: Buffer): Generator<{ write: DiskWrite; endBytes: number }> {
	for (let next = 0; next < log.length; ) {
		const [kind, at, lengthBytes] = [0, 8, 16].map((field) => Number(log.readBigUInt64LE(next + field)));
		const name = KINDS[kind!]!;
		next += HEAD_BYTES;
		const bytes = log.subarray(next, name === 'write' ? next + lengthBytes! : next);
		next += bytes.length;
		yield { write: writeOf(name, at!, lengthBytes!, bytes), endBytes: next };
	}
}

function writeOf(kind: (typeof KINDS)[number], at: number, lengthBytes: number, bytes: Buffer): DiskWrite {
	if (kind === 'write') return { kind, at, bytes };
	return kind === 'flush' ? { kind } : { kind: 'zero', at, lengthBytes, free: kind === 'free' };
}
