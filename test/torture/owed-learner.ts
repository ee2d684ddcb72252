import type { BlockDevice } from '../../src/block/device.ts';
import type { CatalogCopy } from '../../src/diff/catalog.ts';
import type { DiffArea } from '../../src/diff/diff-area.ts';
import { DiffAreaReader, ShadowView } from '../../src/diff/shadow-view.ts';
import { NoonmarkError } from '../../src/errors.ts';
import type { Random } from '../helpers/random.ts';

/** Finds out which chunks are owed to a copy; owedChunks, or one with a bug. */
export type OwedFinder = (view: ShadowView, isFrozen: boolean, live: BlockDevice) => Uint8Array;

/** What is written on a copy. */
export interface CopyLabel {
	/** The position in the recording where the file system stood still; null: it did not. */
	readonly frozenAt: number | null;
}

/**
 * Finds out what is owed to the copies of a diff area, and tells it, as need threads and the live thread of a service do;
 * each step is taken at some time, and other things happen in between.
 */
export class OwedLearner {
	readonly #diffArea: DiffArea;
	readonly #volume: BlockDevice;
	readonly #live: BlockDevice;
	readonly #find: OwedFinder;
	/** Copies of which nobody knows yet. */
	#unknown: readonly CatalogCopy[];
	/** What is known, but not told. */
	#found: readonly { epoch: number; chunks: Uint8Array | undefined }[] = [];

	/** Begins with all copies, as after an opening. */
	constructor(diffArea: DiffArea, volume: BlockDevice, live: BlockDevice, find: OwedFinder) {
		this.#diffArea = diffArea;
		this.#volume = volume;
		this.#live = live;
		this.#find = find;
		this.#unknown = diffArea.copies;
	}

	add(copy: CatalogCopy): void {
		this.#unknown = [...this.#unknown, copy];
	}

	/** Takes one of the steps, or none. */
	step(random: Random): void {
		const step = random.integer(4);
		if (step === 0 && this.#unknown.length > 0) this.#look(random.pick(this.#unknown));
		if (step === 1 && this.#found.length > 0) this.#tell(random.pick(this.#found));
	}

	/** Takes all of them. */
	finish(): void {
		for (const copy of this.#unknown) this.#look(copy);
		for (const found of this.#found) this.#tell(found);
	}

	#look(copy: CatalogCopy): void {
		this.#unknown = this.#unknown.filter((other) => other !== copy);
		const reader = new DiffAreaReader(this.#diffArea.share);
		const view = new ShadowView(this.#volume, reader, copy.epoch);
		const isFrozen = (copy.label as CopyLabel).frozenAt !== null;
		try {
			this.#found = [...this.#found, { epoch: copy.epoch, chunks: this.#find(view, isFrozen, this.#live) }];
		} catch (error) {
			if (!(error instanceof NoonmarkError)) throw error;
			if (!view.isGone()) this.#found = [...this.#found, { epoch: copy.epoch, chunks: undefined }];
		} finally {
			reader.close();
		}
	}

	#tell(found: { epoch: number; chunks: Uint8Array | undefined }): void {
		this.#found = this.#found.filter((other) => other !== found);
		this.#diffArea.needed.learn(found.epoch, found.chunks);
	}
}
