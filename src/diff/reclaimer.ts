/**
 * Gives back the space of what a deleted copy in the middle leaves behind: old chunks that no other copy reads. A version
 * of a chunk is read by the copies that begin behind the version before it, and at or before its own place; where there
 * is none of them, its content is punched out of the segment. The records keep their heads, so that a segment is opened
 * as ever, and nobody looks the version up any more.
 *
 * It goes in small steps, since it runs on the thread of the live volume. What is not done at the end is done after the
 * next opening: everything in an epoch without a copy is looked at again then.
 */
import type { CatalogCopy } from './catalog.ts';
import { CopyBases } from './copy-bases.ts';
import type { PreservedChunks } from './preserved-chunks.ts';
import { PAGE_BYTES } from './segment.ts';
import type { SegmentStore } from './segment-store.ts';

/** Versions that one step looks at, and holes that it punches, at most: a few milliseconds. */
const VERSIONS_MAX = 200_000;
const HOLES_MAX = 50;

/** Versions at locations [from, to) are looked at, from this node of the index on. */
interface Job {
	readonly fromLocation: number;
	readonly toLocation: number;
	nextNode: number;
}

export class Reclaimer {
	readonly #chunks: PreservedChunks;
	readonly #segments: SegmentStore;
	readonly #chunkSizeBytes: number;
	readonly #jobs: Job[] = [];
	#isStopped = false;

	constructor(chunks: PreservedChunks, segments: SegmentStore, chunkSizeBytes: number) {
		this.#chunks = chunks;
		this.#segments = segments;
		this.#chunkSizeBytes = chunkSizeBytes;
	}

	get isIdle(): boolean {
		return this.#jobs.length === 0;
	}

	/** Has what was kept from this epoch on, up to the next copy's, looked at. `copies` are those that are left. */
	add(epoch: number, copies: readonly CatalogCopy[]): void {
		if (this.#isStopped) return;
		const { epochs } = this.#chunks;
		const next = copies.find((copy) => copy.epoch > epoch)?.epoch;
		const toLocation = next === undefined ? Number.POSITIVE_INFINITY : epochs.baseLocation(next);
		this.#jobs.push({ fromLocation: epochs.baseLocation(epoch), toLocation, nextNode: 1 });
	}

	/** Has every epoch without a copy looked at. */
	addAll(copies: readonly CatalogCopy[]): void {
		const epochs = new Set(copies.map(({ epoch }) => epoch));
		for (const { epoch } of copies) {
			const following = epoch + 1;
			if (!epochs.has(following) && following < this.#chunks.epochs.nextEpoch) this.add(following, copies);
		}
	}

	/** Nothing more is given back: the host's file system makes no holes. */
	stop(): void {
		this.#jobs.length = 0;
		this.#isStopped = true;
	}

	/** One step. Errors of the file system pass through; the part that failed is not tried again. */
	step(copies: readonly CatalogCopy[]): void {
		const job = this.#jobs[0];
		if (!job) return;
		const { index, epochs } = this.#chunks;
		const bases = new CopyBases(copies.map(({ epoch }) => epochs.baseLocation(epoch)));
		const holes = new HoleJoiner((2 * this.#chunkSizeBytes) / PAGE_BYTES, (location, count) => {
			const { epoch, page } = epochs.placeAt(location);
			this.#segments.punch(epoch, page, count * this.#chunkSizeBytes);
		});
		const end = Math.min(index.nodeEnd, job.nextNode + VERSIONS_MAX);
		while (job.nextNode < end && holes.count < HOLES_MAX) {
			const node = job.nextNode++;
			const location = index.locationAt(node);
			const isInRange = location >= job.fromLocation && location < job.toLocation;
			const isZero = (location & 1) === 1;
			if (isInRange && !isZero && bases.isLeftOver(index.previousLocationAt(node), location)) holes.add(location);
		}
		if (job.nextNode >= index.nodeEnd) this.#jobs.shift();
		holes.end();
	}
}

/** Joins chunks that lie side by side. */
class HoleJoiner {
	count = 0;
	readonly #stride: number;
	readonly #visit: (location: number, count: number) => void;
	#first = 0;
	#length = 0;

	/** `stride`: by how much the locations of two neighbours differ. */
	constructor(stride: number, visit: (location: number, count: number) => void) {
		this.#stride = stride;
		this.#visit = visit;
	}

	add(location: number): void {
		if (this.#length > 0 && location === this.#first + this.#length * this.#stride) {
			this.#length++;
			return;
		}
		this.end();
		this.#first = location;
		this.#length = 1;
		this.count++;
	}

	end(): void {
		if (this.#length > 0) this.#visit(this.#first, this.#length);
		this.#length = 0;
	}
}
