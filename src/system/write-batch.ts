/**
 * Small writes to one descriptor that are handed to the kernel with one call, io_submit(2). Where it does not offer that,
 * or refuses it, they are written one after the other.
 */
import { writeSync } from 'node:fs';
import { addressOf, systemCall } from './libc.ts';

/** io_setup, io_submit and io_getevents: the C library has no names for them. */
const CALLS: Readonly<Record<string, { setup: number; submit: number; getEvents: number }>> = {
	x64: { setup: 206, submit: 209, getEvents: 208 },
	arm64: { setup: 0, submit: 2, getEvents: 4 },
};

/** struct iocb of linux/aio_abi.h */
const IOCB_BYTES = 64;
const IOCB_AT = { opcode: 16, fd: 20, buffer: 24, lengthBytes: 32 };
const IOCB_CMD_PWRITE = 1;

/** struct io_event */
const EVENT_BYTES = 32;
const EVENT_RESULT_AT = 16;

const POINTER_BYTES = 8;

export class WriteBatch {
	readonly #fd: number;
	readonly #countMax: number;
	readonly #bytesMax: number;
	/** One after the other: iocbs, pointers to them, events, and what is to be written. */
	readonly #memory: Buffer;
	readonly #address: number;
	readonly #pointersAt: number;
	readonly #eventsAt: number;
	readonly #contentsAt: number;
	/** The kernel's name of the context, undefined where there is none. */
	readonly #context: number | undefined;
	readonly #lengths: number[] = [];

	/** For at most `countMax` writes of at most `bytesMax` bytes, to a descriptor for which positions mean nothing. */
	constructor(fd: number, countMax: number, bytesMax: number) {
		this.#fd = fd;
		this.#countMax = countMax;
		this.#bytesMax = bytesMax;
		this.#pointersAt = countMax * IOCB_BYTES;
		this.#eventsAt = this.#pointersAt + countMax * POINTER_BYTES;
		this.#contentsAt = this.#eventsAt + countMax * EVENT_BYTES;
		this.#memory = Buffer.alloc(this.#contentsAt + countMax * bytesMax);
		this.#address = addressOf(this.#memory);
		this.#context = newContext(countMax);
		for (let i = 0; i < countMax; i++) this.#prepare(i);
	}

	get count(): number {
		return this.#lengths.length;
	}

	get isFull(): boolean {
		return this.count === this.#countMax;
	}

	/** Takes a copy of the bytes. */
	add(bytes: Uint8Array): void {
		const i = this.count;
		this.#memory.set(bytes, this.#contentAt(i));
		this.#memory.writeUInt32LE(bytes.length, i * IOCB_BYTES + IOCB_AT.lengthBytes);
		this.#lengths.push(bytes.length);
	}

	/** Writes what was added, and begins anew. `failed` gets the errno of each that the kernel refused. */
	write(failed: (errno: number) => void): void {
		const submitted = this.#context !== undefined && this.count > 1 ? this.#submit(this.#context, failed) : 0;
		for (let i = submitted; i < this.count; i++) this.#writeOne(i, failed);
		this.#lengths.length = 0;
	}

	/** Returns how many are done. */
	#submit(context: number, failed: (errno: number) => void): number {
		const { submit, getEvents } = CALLS[process.arch]!;
		const submitted = systemCall(submit, context, this.count, this.#address + this.#pointersAt);
		if (submitted <= 0) return 0;
		const ended = systemCall(getEvents, context, submitted, submitted, this.#address + this.#eventsAt);
		for (let at = this.#eventsAt; at < this.#eventsAt + ended * EVENT_BYTES; at += EVENT_BYTES) {
			const result = this.#memory.readInt32LE(at + EVENT_RESULT_AT);
			if (result < 0) failed(-result);
		}
		return submitted;
	}

	#writeOne(i: number, failed: (errno: number) => void): void {
		try {
			writeSync(this.#fd, this.#memory, this.#contentAt(i), this.#lengths[i]);
		} catch (error) {
			failed(-(error as NodeJS.ErrnoException).errno!);
		}
	}

	#contentAt(i: number): number {
		return this.#contentsAt + i * this.#bytesMax;
	}

	#prepare(i: number): void {
		const at = i * IOCB_BYTES;
		this.#memory.writeUInt16LE(IOCB_CMD_PWRITE, at + IOCB_AT.opcode);
		this.#memory.writeUInt32LE(this.#fd, at + IOCB_AT.fd);
		this.#memory.writeBigUInt64LE(BigInt(this.#address + this.#contentAt(i)), at + IOCB_AT.buffer);
		this.#memory.writeBigUInt64LE(BigInt(this.#address + at), this.#pointersAt + i * POINTER_BYTES);
	}
}

/** It goes with the process. */
function newContext(countMax: number): number | undefined {
	const calls = CALLS[process.arch];
	if (!calls) return undefined;
	const context = Buffer.alloc(128); // the first 8 bytes of it; small pieces of memory may move
	return systemCall(calls.setup, countMax, addressOf(context)) < 0 ? undefined : Number(context.readBigUInt64LE());
}
