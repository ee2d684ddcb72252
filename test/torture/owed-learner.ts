import type { BlockDevice } from '../../src/block/device.ts';
import type { CatalogCopy } from '../../src/diff/catalog.ts';
import type { DiffArea } from '../../src/diff/diff-area.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import type { NeededMap } from '../../src/diff/needed-map.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { OwedChunks } from '../../src/service/owed-chunks.ts';
import type { Random } from '../helpers/random.ts';

/** Adds what is owed to a copy. */
export type OwedFinder = (owed: OwedChunks, view: ShadowView, isFrozen: boolean, live: BlockDevice) => void;

/** As a service does it. */
export const findOwed: OwedFinder = (owed, view, isFrozen) => owed.add(view, isFrozen);

/** What is written on a copy. */
export interface CopyLabel {
	/** The position in the recording where the file system stood still; null: it did not. */
	readonly frozenAt: number | null;
}

/** A planted bug: a copy's use takes the place of what is owed to others. */
export const forgetful = (learn: NeededMap['learn']): NeededMap['learn'] =>
	function (this: NeededMap, epochs, chunks) {
		learn.call(this, epochs, chunks);
		for (let chunk = 0; chunks && chunk < chunks.length * 8; chunk++)
			if ((chunks[chunk >>> 3]! & (1 << (chunk & 7))) === 0) this.preserved(chunk);
	};

/** What one need thread does. */
interface Search {
	/** Copies at which it has not looked yet, oldest first. */
	readonly copies: CatalogCopy[];
	readonly owed: OwedChunks;
	readonly known: number[];
}

type News = Parameters<NeededMap['learn']>;

/**
 * Finds out what is owed to the copies of a diff area, and tells it, as need threads and the live thread of a service do;
 * each step is taken at some time, and other things happen in between.
 */
export class OwedLearner {
	readonly #diffArea: DiffArea;
	readonly #volume: BlockDevice;
	readonly #live: BlockDevice;
	readonly #find: OwedFinder;
	readonly #searches: Search[] = [];
	readonly #news: News[] = [];

	/** Begins with all copies, as after an opening. */
	constructor(diffArea: DiffArea, volume: BlockDevice, live: BlockDevice, find: OwedFinder) {
		this.#diffArea = diffArea;
		this.#volume = volume;
		this.#live = live;
		this.#find = find;
		this.add(diffArea.copies);
	}

	add(copies: readonly CatalogCopy[]): void {
		const { volumeSizeBytes, chunkSizeBytes } = this.#diffArea.share;
		this.#searches.push({ copies: [...copies], owed: new OwedChunks(volumeSizeBytes, chunkSizeBytes), known: [] });
	}

	/** Takes one of the steps, or none. */
	step(random: Random): void {
		const step = random.integer(4);
		if (step < 2 && this.#searches.length > 0) this.#search(random.integer(this.#searches.length));
		if (step === 2 && this.#news.length > 0) this.#tell(random.integer(this.#news.length));
	}

	/** Takes all of them. */
	finish(): void {
		while (this.#searches.length > 0) this.#search(0);
		while (this.#news.length > 0) this.#tell(0);
	}

	#search(index: number): void {
		const search = this.#searches[index]!;
		const copy = search.copies.pop();
		if (copy) {
			this.#look(copy, search);
			return;
		}
		this.#searches.splice(index, 1);
		this.#news.push([search.known, search.owed.bits]);
	}

	#look({ epoch, label }: CatalogCopy, { owed, known }: Search): void {
		const reader = new DiffAreaReader(this.#diffArea.share);
		const view = new ShadowView(this.#volume, reader, epoch);
		try {
			this.#find(owed, view, (label as CopyLabel).frozenAt !== null, this.#live);
			known.push(epoch);
		} catch (error) {
			if (!(error instanceof NoonmarkError)) throw error;
			if (!view.isGone()) this.#news.push([[epoch], undefined]);
		} finally {
			reader.close();
		}
	}

	#tell(index: number): void {
		const [[epochs, chunks]] = this.#news.splice(index, 1) as [News];
		this.#diffArea.needed.learn(epochs, chunks);
	}
}
