import createDebug from 'debug';
import type { DiffArea } from '../diff/diff-area.ts';
import type { LiveVolume } from '../diff/live-volume.ts';
import type { CopyInDiffArea, LiveOrder, StorageUse } from './messages.ts';
import type { ImageMark } from './volume-mark.ts';

const log = createDebug('noonmark:service:live');

/** Carries out the main thread's orders between two requests for the live device. */
export class OrderHandler {
	readonly #live: LiveVolume;
	readonly #diffArea: DiffArea;
	readonly #mark: ImageMark;
	/** In the past once a hold has ended by itself, 0 where there is none. */
	#heldUntilMs = 0;
	isStopped = false;

	constructor({ live, diffArea, mark }: { live: LiveVolume; diffArea: DiffArea; mark: ImageMark }) {
		this.#live = live;
		this.#diffArea = diffArea;
		this.#mark = mark;
	}

	/** For how long no request may be taken yet; 0 or less: none is held. */
	get heldMs(): number {
		return Math.ceil(this.#heldUntilMs - performance.now());
	}

	/** What an order throws, and what it returns, is its answer. */
	carryOut(order: LiveOrder): unknown {
		log('order %s', order.kind);
		switch (order.kind) {
			case 'prepareCommit':
				this.#live.flush();
				this.#mark.set({ volumeId: this.#diffArea.share.volumeId, lostBefore: this.#diffArea.unrecordedLossBefore });
				return this.#diffArea.prepareCommit();
			case 'hold':
				this.#live.drain();
				this.#heldUntilMs = performance.now() + order.timeoutMs;
				return undefined;
			case 'commit':
				this.#live.drain();
				this.#diffArea.commit(order.label);
				return undefined;
			case 'release': {
				const unbroken = performance.now() <= this.#heldUntilMs;
				this.#heldUntilMs = 0;
				return unbroken;
			}
			case 'finishCommit':
				this.#live.flush();
				return this.#diffArea.finishCommit();
			case 'abortCommit':
				return this.#diffArea.abortCommit();
			case 'stop':
				this.isStopped = true;
				return undefined;
			case 'learnOwed':
				return this.#diffArea.needed.learn(order.epochs, order.chunks);
			case 'delete':
				return this.#diffArea.delete(order.epoch);
			case 'resize':
				return this.#diffArea.resize(order.maximumBytes);
			case 'segments':
				return this.#diffArea.segments;
			case 'copies':
				return this.#diffArea.allCopies.map(
					(copy, i): CopyInDiffArea => ({
						...copy,
						preservedBytes: this.#diffArea.preservedBytes(copy.epoch),
						segmentsBytes: i === 0 ? this.#diffArea.oldestBytes : 0,
					}),
				);
			case 'storage': {
				const { usedBytes, allocatedBytes, maximumBytes } = this.#diffArea;
				const freeSpaceKnown = this.#diffArea.needed.isExact;
				return { usedBytes, allocatedBytes, maximumBytes, freeSpaceKnown } satisfies StorageUse;
			}
		}
	}
}
