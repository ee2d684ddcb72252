/**
 * A race: this thread overwrites, discards, creates and deletes, while reader threads read every copy without locks and
 * check every sector that it uses. Both sides are held up at random between two calls, so that they meet in the narrow places.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { FileDevice } from '../../src/block/file-device.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import type { ShadowView } from '../../src/diff/shadow-view.ts';
import type { OwedChunks } from '../../src/service/owed-chunks.ts';
import { Random } from '../helpers/random.ts';
import { interpose } from './file-calls.ts';
import { type CopyLabel, OwedLearner } from './owed-learner.ts';
import type { ReaderResult, ReaderSetup } from './race-reader.ts';
import { ANYTHING, delayer, FREE, fillSector, LEAVING, RaceTable, READABLE, SECTOR_BYTES } from './race-table.ts';
import { scratchDirectory } from './scratch.ts';
import { chunkSizeFrom, imageIn, openDiffArea } from './workload.ts';

const SECTOR_COUNT = 3000;
const READERS = 2;
const COPIES_MAX = 12;
const SLICE_MS = 50;

export interface RaceResult {
	readonly reads: number;
	readonly writes: number;
	readonly copies: number;
	readonly faults: readonly string[];
}

/** Ends before its time where a reader has found enough. */
export async function race(seed: number, seconds: number): Promise<RaceResult> {
	const scratch = scratchDirectory();
	const side = new LiveSide(`${scratch}/race`, seed);
	try {
		const results = await raceAgainst(side, seed, seconds);
		side.close();
		return resultOf(side, results);
	} finally {
		interpose(scratch, undefined);
		rmSync(scratch, { recursive: true, force: true });
	}
}

async function raceAgainst(side: LiveSide, seed: number, seconds: number): Promise<ReaderResult[]> {
	let isDecided = false;
	const setups = Array.from({ length: READERS }, (_, i) => side.readerSetup(seed + 1 + i));
	const readers = Promise.all(setups.map((setup) => readerOf(setup, () => (isDecided = true))));
	try {
		const end = performance.now() + seconds * 1000;
		while (!isDecided && performance.now() < end) {
			const slice = performance.now() + SLICE_MS;
			while (performance.now() < slice) side.step();
			await new Promise(setImmediate); // hear of the readers
		}
	} finally {
		side.table.stop();
		await readers;
	}
	return readers;
}

function resultOf(side: LiveSide, results: readonly ReaderResult[]): RaceResult {
	const surprises = results.flatMap(({ gone }) => gone.filter((epoch) => !side.left.has(epoch)));
	return {
		reads: results.reduce((sum, { reads }) => sum + reads, 0),
		writes: side.writes,
		copies: side.copies,
		faults: [
			...results.flatMap(({ faults }) => faults),
			...surprises.map((epoch) => `copy ${epoch} was gone, but nobody deleted it`),
		],
	};
}

function readerOf(workerData: ReaderSetup, ended: () => void): Promise<ReaderResult> {
	return new Promise((resolve, reject) => {
		const worker = new Worker(new URL('./race-reader.js', import.meta.url), { workerData });
		worker.once('message', resolve);
		worker.once('error', reject);
		worker.once('exit', ended);
		worker.once('exit', () => reject(new Error('a reader ended without a result')));
	});
}

class LiveSide {
	readonly table = new RaceTable(SECTOR_COUNT);
	/** Epochs whose deletion or eviction has begun. */
	readonly left = new Set<number>();
	writes = 0;
	copies = 0;
	readonly #image: string;
	readonly #random: Random;
	readonly #volume: FileDevice;
	readonly #diffArea;
	readonly #live: LiveVolume;
	readonly #owed: OwedLearner;
	/** By epoch: the chunks that its copy uses. */
	readonly #used = new Map<number, ReadonlySet<number>>();
	/** The write that each sector of the live volume comes from. */
	readonly #sequences = new Uint32Array(SECTOR_COUNT);

	constructor(directory: string, seed: number) {
		mkdirSync(directory);
		this.#image = imageIn(directory);
		writeFileSync(this.#image, Buffer.alloc(SECTOR_COUNT * SECTOR_BYTES));
		this.#random = new Random(seed);
		this.#volume = FileDevice.open(this.#image, 'write');
		this.#diffArea = openDiffArea(directory, 'unchanged', {
			sizeBytes: SECTOR_COUNT * SECTOR_BYTES,
			chunkSizeBytes: chunkSizeFrom(seed),
			maximumBytes: 12 << 20,
			policy: 'protect-volume',
		});
		this.#live = new LiveVolume(this.#volume, this.#diffArea, () => performance.now());
		this.#owed = new OwedLearner(this.#diffArea, this.#volume, this.#live, (owed, view) => this.#findOwed(owed, view));
		interpose(directory, delayer(this.#random));
	}

	readerSetup(seed: number): ReaderSetup {
		const { share } = this.#diffArea;
		return { image: this.#image, diffArea: share, table: this.table.share, sectorCount: SECTOR_COUNT, seed };
	}

	step(): void {
		const step = this.#random.integer(100);
		const living = this.table.slots.filter((slot) => this.table.state(slot) === READABLE);
		if (step < 4 && living.length < COPIES_MAX) this.#create();
		else if (step < 8 && living.length > 4) this.#delete(this.#random.pick(living));
		else if (step < 25) this.#live.flush();
		else this.#write(step < 30);
		this.#live.drainIfDue();
		this.#owed.step(this.#random);
		this.#takeEvictions();
	}

	close(): void {
		this.#live.close();
		this.#diffArea.close(null);
		this.#volume.close();
	}

	#create(): void {
		this.#diffArea.prepareCommit();
		this.#live.drain();
		this.copies++;
		const copy = this.#diffArea.commit({ frozenAt: null } satisfies CopyLabel);
		const { epoch } = copy;
		this.#used.set(epoch, this.#someChunks());
		this.#owed.add([copy]);
		const slot = this.table.slots.find((candidate) => this.table.state(candidate) === FREE)!;
		this.table.publish(slot, epoch, this.#expectedOf(epoch));
		this.#write(false);
		this.#live.flush();
		this.#diffArea.finishCommit();
	}

	/** About two thirds of all chunks, some side by side. */
	#someChunks(): Set<number> {
		const { chunkSizeBytes, volumeSizeBytes } = this.#diffArea.share;
		const chunks = Array.from({ length: Math.ceil(volumeSizeBytes / chunkSizeBytes) }, (_, chunk) => chunk);
		return new Set(chunks.filter(() => this.#random.integer(3) > 0));
	}

	/** What is in chunks that a copy does not use may be anything. */
	#expectedOf(epoch: number): Uint32Array {
		const sectorsPerChunk = this.#diffArea.share.chunkSizeBytes / SECTOR_BYTES;
		const isUsed = (sector: number) => this.#used.get(epoch)!.has(Math.floor(sector / sectorsPerChunk));
		return this.#sequences.map((sequence, sector) => (isUsed(sector) ? sequence : ANYTHING));
	}

	#findOwed({ bits }: OwedChunks, view: ShadowView): void {
		for (const chunk of this.#used.get(view.epoch)!)
			if (!view.isPreserved(chunk)) bits[chunk >>> 3]! |= 1 << (chunk & 7);
	}

	#delete(slot: number): void {
		const epoch = this.table.epoch(slot);
		this.left.add(epoch);
		this.table.setState(slot, LEAVING);
		this.#diffArea.delete(epoch);
		this.table.setState(slot, FREE);
	}

	#write(zero: boolean): void {
		const first = this.#random.integer(SECTOR_COUNT);
		const count = 1 + this.#random.integer(Math.min(SECTOR_COUNT - first, this.#random.pick([8, 100])));
		const sequence = zero ? 0 : ++this.writes;
		const bytes = Buffer.alloc(count * SECTOR_BYTES);
		for (let i = 0; i < count; i++) {
			fillSector(bytes.subarray(i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES), first + i, sequence);
			this.#sequences[first + i] = sequence;
		}
		if (zero) this.#live.zero(first * SECTOR_BYTES, bytes.length, this.#random.integer(2) === 0);
		else this.#live.write(first * SECTOR_BYTES, bytes);
	}

	#takeEvictions(): void {
		for (const event of this.#diffArea.takeEvents()) {
			if (event.kind !== 'copy-evicted') throw new Error(`unexpected: ${JSON.stringify(event)}`);
			const { epoch } = event.copy;
			this.left.add(epoch);
			const slot = this.table.slots.find((candidate) => this.table.epoch(candidate) === epoch)!;
			this.table.setState(slot, FREE);
		}
	}
}
