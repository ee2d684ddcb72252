/**
 * What the threads of a race share: for each shadow copy the write that each of its sectors comes from. A sector tells
 * where it belongs and which write it comes from, under a checksum, so that a wrong one is seen whatever it holds.
 */
import { crc32 } from 'node:zlib';
import type { Random } from '../helpers/random.ts';
import type { Interposer } from './file-calls.ts';

export const SECTOR_BYTES = 512;
const SLOTS = 16;
const HEADER_WORDS = 2;
const EPOCH = 0;
const STATE = 1;

/** Nobody uses the slot; the copy may be read; the copy is being deleted. */
export const FREE = 0;
export const READABLE = 1;
export const LEAVING = 2;

/** In place of a write: the copy does not use the sector. */
export const ANYTHING = 0xffff_ffff;

const CHECKSUM_AT = SECTOR_BYTES - 4;

/** The sector of a write; write 0 stands for zeros. */
export function fillSector(into: Buffer, sector: number, sequence: number): void {
	for (let at = 0; at < SECTOR_BYTES; at += 8) {
		into.writeUInt32LE(sequence === 0 ? 0 : sector, at);
		into.writeUInt32LE(sequence, at + 4);
	}
	into.writeUInt32LE(sequence === 0 ? 0 : crc32(into.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
}

const ZEROS = Buffer.alloc(SECTOR_BYTES);

/** Whether a sector is exactly that of a write. */
export function isSectorOf(bytes: Buffer, sector: number, sequence: number): boolean {
	if (sequence === 0) return bytes.equals(ZEROS);
	const isNamed = bytes.readUInt32LE(0) === sector && bytes.readUInt32LE(4) === sequence;
	return isNamed && bytes.readUInt32LE(CHECKSUM_AT) === crc32(bytes.subarray(0, CHECKSUM_AT));
}

/** Holds up a call in fifty for a fifth of a millisecond, before or after it is made. */
export function delayer(random: Random): Interposer {
	const nobody = new Int32Array(new SharedArrayBuffer(4));
	const delay = () => random.integer(100) === 0 && Atomics.wait(nobody, 0, 0, 0.2);
	return (_, perform) => {
		delay();
		const result = perform();
		delay();
		return result;
	};
}

/** A table in shared memory: one writer, any number of readers. */
export class RaceTable {
	readonly share: SharedArrayBuffer;
	readonly sectorCount: number;
	readonly #words: Uint32Array;
	readonly #stop: Int32Array;

	constructor(sectorCount: number, share?: SharedArrayBuffer) {
		this.sectorCount = sectorCount;
		this.share = share ?? new SharedArrayBuffer(4 * (1 + SLOTS * (HEADER_WORDS + sectorCount)));
		this.#stop = new Int32Array(this.share, 0, 1);
		this.#words = new Uint32Array(this.share, 4);
	}

	get isStopped(): boolean {
		return Atomics.load(this.#stop, 0) === 1;
	}

	stop(): void {
		Atomics.store(this.#stop, 0, 1);
	}

	get slots(): number[] {
		return Array.from({ length: SLOTS }, (_, slot) => slot);
	}

	state(slot: number): number {
		return Atomics.load(this.#words, this.#at(slot) + STATE);
	}

	setState(slot: number, state: number): void {
		Atomics.store(this.#words, this.#at(slot) + STATE, state);
	}

	epoch(slot: number): number {
		return Atomics.load(this.#words, this.#at(slot) + EPOCH);
	}

	sequence(slot: number, sector: number): number {
		return Atomics.load(this.#words, this.#at(slot) + HEADER_WORDS + sector);
	}

	/** Takes a free slot for a copy: readers may check it from now on. */
	publish(slot: number, epoch: number, sequences: Uint32Array): void {
		Atomics.store(this.#words, this.#at(slot) + EPOCH, epoch);
		this.#words.set(sequences, this.#at(slot) + HEADER_WORDS);
		this.setState(slot, READABLE);
	}

	#at(slot: number): number {
		return slot * (HEADER_WORDS + this.sectorCount);
	}
}
