/**
 * What a volume and its shadow copies must hold, said without Noonmark. The live volume is a disk with a volatile write
 * cache: a sector holds what it held at the last flush, or anything that was written to it since.
 */
import type { ByteRange } from './ext4-oracle.ts';

const SECTOR_BYTES = 512;

/** What the workload does and learns, in the order of the record. */
export type Note =
	/** A write is about to begin. */
	| { readonly kind: 'write'; readonly at: number; readonly bytes: Buffer }
	/** A flush has returned. */
	| { readonly kind: 'flushed' }
	/** After a kill: what a program reads now. */
	| { readonly kind: 'found'; readonly content: Buffer }
	/** A copy holds the live content of this point in time. */
	| { readonly kind: 'committed'; readonly epoch: number; readonly used?: readonly ByteRange[] | undefined }
	/** Its creation was reported. */
	| { readonly kind: 'reported'; readonly epoch: number }
	/** Its deletion or eviction is about to begin, or may have begun. */
	| { readonly kind: 'leaving'; readonly epoch: number }
	/** Its deletion was reported. */
	| { readonly kind: 'left'; readonly epoch: number };

/** What a copy has to hold. */
export interface ExpectedCopy {
	readonly content: Buffer;
	/** The bytes that count; undefined: all. */
	readonly used?: readonly ByteRange[] | undefined;
}

interface CopyModel extends ExpectedCopy {
	isReported: boolean;
	isLeaving: boolean;
}

export class VolumeModel {
	readonly live: Buffer;
	readonly copies: Map<number, CopyModel>;
	readonly #leaving = new Set<number>();
	/** Sectors written since the last flush, with everything that they have held since. */
	readonly #alternatives = new Map<number, Buffer[]>();

	constructor(content: Buffer, copies: ReadonlyMap<number, CopyModel> = new Map()) {
		this.live = Buffer.from(content);
		this.copies = new Map([...copies].map(([epoch, copy]) => [epoch, { ...copy }]));
	}

	apply(note: Note): void {
		switch (note.kind) {
			case 'write':
				this.#write(note.at, note.bytes);
				return;
			case 'flushed':
				this.#alternatives.clear();
				return;
			case 'found':
				note.content.copy(this.live);
				return;
			case 'committed':
				this.copies.set(note.epoch, {
					content: Buffer.from(this.live),
					used: note.used,
					isReported: false,
					isLeaving: this.#leaving.has(note.epoch),
				});
				return;
			case 'reported':
				this.copies.get(note.epoch)!.isReported = true;
				return;
			case 'leaving': {
				this.#leaving.add(note.epoch);
				const copy = this.copies.get(note.epoch);
				if (copy) copy.isLeaving = true;
				return;
			}
			case 'left':
				this.copies.delete(note.epoch);
		}
	}

	#write(at: number, bytes: Buffer): void {
		const end = at + bytes.length;
		const sectors: number[] = [];
		for (let sector = Math.floor(at / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++) sectors.push(sector);
		for (const sector of sectors) {
			if (!this.#alternatives.has(sector))
				this.#alternatives.set(sector, [Buffer.from(this.#sector(this.live, sector))]);
		}
		bytes.copy(this.live, at);
		for (const sector of sectors) this.#alternatives.get(sector)!.push(Buffer.from(this.#sector(this.live, sector)));
	}

	/** Whether a program may count on a copy. */
	isOwed(epoch: number): boolean {
		const copy = this.copies.get(epoch);
		return copy ? copy.isReported && !copy.isLeaving : false;
	}

	/** Where a live volume after a power cut holds what was neither flushed nor written since; undefined: nowhere. */
	wrongByteOffset(content: Buffer): number | undefined {
		if (content.length !== this.live.length) return Math.min(content.length, this.live.length);
		for (let at = 0; at < content.length; at += SECTOR_BYTES) {
			const found = this.#sector(content, at / SECTOR_BYTES);
			if (found.equals(this.#sector(this.live, at / SECTOR_BYTES))) continue;
			if (!this.#alternatives.get(at / SECTOR_BYTES)?.some((alternative) => alternative.equals(found))) return at;
		}
		return undefined;
	}

	#sector(content: Buffer, sector: number): Buffer {
		return content.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
	}
}
