import test, { type ExecutionContext } from 'ava';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { Rig, type RigOptions } from './rig.ts';

const CHUNK_BYTES = 16384;

/** A rig whose copies use some chunks only; which, the diff area learns some steps later, if at all. */
class UsingRig extends Rig {
	/** What was found out through a copy, and after how many steps it is told. */
	readonly #found: { epoch: number; chunks: Uint8Array; steps: number }[] = [];
	delaySteps = 20;
	/** A bug: chunks that are left out of what is found. */
	forgotten: ReadonlySet<number> = new Set();

	static start(t: ExecutionContext, options: RigOptions): UsingRig {
		return new UsingRig(t, options);
	}

	override onCreated(epoch: number): void {
		const used = new Set<number>();
		for (let chunk = 0; chunk * CHUNK_BYTES < this.sizeBytes; chunk++) if (this.random.integer(2)) used.add(chunk);
		this.used.set(epoch, used);
		this.#find(epoch);
	}

	/** After a restart nothing is known again. */
	override onOpened(): void {
		if (!(#found in this)) return; // the first opening, from the constructor of Rig
		this.#found.length = 0;
		for (const { epoch } of this.diffArea.copies) this.#find(epoch);
	}

	step(): void {
		this.randomStep();
		for (const found of this.#found) if (found.steps-- <= 0) this.diffArea.needed.learn([found.epoch], found.chunks);
	}

	#find(epoch: number): void {
		const reader = new DiffAreaReader(this.diffArea.share);
		const view = new ShadowView(this.volume, reader, epoch);
		const chunks = new Uint8Array(4 * Math.ceil(this.sizeBytes / CHUNK_BYTES / 32));
		for (const chunk of this.used.get(epoch)!)
			if (!view.isPreserved(chunk) && !this.forgotten.has(chunk)) chunks[chunk >> 3]! |= 1 << (chunk & 7);
		reader.close();
		this.#found.push({ epoch, chunks, steps: this.random.integer(this.delaySteps + 1) });
	}
}

for (const seed of [1, 2, 3, 4]) {
	test(`every copy keeps the chunks that it uses, however late that is learnt (seed ${seed})`, (t) => {
		const rig = UsingRig.start(t, { seed, sizeBytes: 1_500_000 });
		for (let round = 0; round < 25; round++) {
			rig.delaySteps = rig.random.pick([0, 20, 100]);
			for (let i = 0; i < 40; i++) rig.step();
			t.deepEqual(rig.differences(), []);
		}
		t.true(rig.copies.size > 2);
		t.deepEqual(rig.events, []);
	});
}

test('a used chunk that is left out is missed', (t) => {
	const rig = UsingRig.start(t, { seed: 5, sizeBytes: 1_500_000 });
	rig.forgotten = new Set([7]);
	rig.delaySteps = 0;
	for (let i = 0; i < 1000; i++) rig.step();
	t.true(rig.differences().some((difference) => difference.endsWith('chunk 7')));
	t.true(rig.differences().every((difference) => difference.endsWith('chunk 7')));
});

test('a chunk is preserved where a copy uses it and has not got it yet, and nowhere else', (t) => {
	const rig = new Rig(t, { seed: 6, sizeBytes: 64 * CHUNK_BYTES });
	const bits = (...chunks: number[]) => {
		const map = new Uint8Array(8);
		for (const chunk of chunks) map[chunk >> 3]! |= 1 << (chunk & 7);
		return map;
	};
	/** Overwrites a chunk; whether that preserved it. */
	const preserves = (chunk: number) => {
		const before = rig.diffArea.usedBytes;
		rig.write(chunk * CHUNK_BYTES + 5, rig.random.bytes(10));
		rig.liveVolume.flush();
		return rig.diffArea.usedBytes > before;
	};
	rig.create();
	t.true(preserves(0), 'nothing is known yet');
	rig.diffArea.needed.learn([1], bits(0, 1, 2, 3));
	t.true(rig.diffArea.needed.isExact);
	t.deepEqual([0, 1, 9].map(preserves), [false, true, false]);
	rig.create();
	rig.create();
	rig.diffArea.needed.learn([2], bits(1, 20));
	t.false(rig.diffArea.needed.isExact, 'the newest is not known');
	t.true(preserves(30));
	rig.diffArea.needed.learn([3], bits(2, 21, 30));
	t.deepEqual([2, 1, 3, 20, 21, 22, 30].map(preserves), [true, true, true, true, true, false, false]);
	rig.create();
	rig.diffArea.needed.learn([4], undefined);
	t.deepEqual([22, 22].map(preserves), [true, false], 'unknown content');
	rig.diffArea.delete(4);
	t.false(preserves(2), 'the older copies have it');
});

test('a chunk that a copy reads as a newer one is the same in both, and not owed to the older one alone', (t) => {
	const rig = new Rig(t, { seed: 7, sizeBytes: 1_500_000 });
	const chunkCount = Math.ceil(rig.sizeBytes / CHUNK_BYTES);
	let alike = 0;
	for (let i = 0; i < 600; i++) {
		rig.randomStep();
		if (i % 50 !== 0) continue;
		const reader = new DiffAreaReader(rig.diffArea.share);
		const views = [...rig.copies.keys()].map((epoch) => new ShadowView(rig.volume, reader, epoch));
		for (const [older, newer] of views.flatMap((view, at) =>
			views.slice(at + 1).map((next) => [view, next] as const),
		)) {
			for (let chunk = 0; chunk < chunkCount; chunk++) {
				const [start, end] = [chunk * CHUNK_BYTES, Math.min(rig.sizeBytes, (chunk + 1) * CHUNK_BYTES)];
				const [a, b] = [older, newer].map(({ epoch }) => rig.copies.get(epoch)!.subarray(start, end));
				const isAlike = older.readsAsIn(newer.epoch, start, end - start);
				if (isAlike && !a!.equals(b!)) t.fail(`chunk ${chunk} differs between ${older.epoch} and ${newer.epoch}`);
				if (isAlike && newer.isPreserved(chunk) && !older.isPreserved(chunk))
					t.fail(`chunk ${chunk} is owed to the older`);
				if (isAlike) alike++;
			}
		}
		reader.close();
	}
	t.true(alike > 1000, `${alike}`);
});
