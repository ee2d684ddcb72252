import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { ChunkIndex } from '../../src/diff/chunk-index.ts';
import { Random } from '../helpers/random.ts';
import { RACE_ASKED, RACE_BASE, RACE_CHUNKS, RACE_OVER, RACE_STRIDE, raceShare } from './chunk-index-race.ts';

/** The oldest location at or after the base, the slow way. */
const oldestFrom = (locations: readonly number[], base: number) => locations.find((location) => location >= base) ?? 0;

test('finds the oldest version at or after a base, as a linear search does', (t) => {
	const random = new Random(20261);
	t.log(`seed ${random.seed}`);
	const index = ChunkIndex.create(50, 100_000);
	const reader = ChunkIndex.attach(index.share);
	const model: number[][] = Array.from({ length: 50 }, () => []);
	for (let location = 2; location < 40_000; location += 1 + random.integer(3)) {
		const chunk = random.integer(random.integer(50) + 1);
		index.publish(chunk, location);
		model[chunk]!.push(location);
	}
	for (let i = 0; i < 20_000; i++) {
		const chunk = random.integer(50);
		const base = 1 + random.integer(41_000);
		t.is(reader.find(chunk, base), oldestFrom(model[chunk]!, base));
	}
});

test('filled at once, with more than there is room for, it finds the same', (t) => {
	const random = new Random(20263);
	t.log(`seed ${random.seed}`);
	const index = ChunkIndex.create(200, 100);
	const model: number[][] = Array.from({ length: 200 }, () => []);
	for (let epoch = 0; epoch < 40; epoch++) {
		const baseLocation = 2 + 20_000 * epoch;
		const count = random.integer(700);
		const places = Uint32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? random.integer(200) : i));
		index.fill(places, baseLocation);
		for (let i = 0; i < count; i++) model[places[2 * i]!]!.push(baseLocation + places[2 * i + 1]!);
	}
	const reader = ChunkIndex.attach(index.share);
	for (let i = 0; i < 20_000; i++) {
		const chunk = random.integer(200);
		const base = 1 + random.integer(820_000);
		t.is(reader.find(chunk, base), oldestFrom(model[chunk]!, base));
	}
	t.is(index.nodeEnd, 1 + model.flat().length);
	t.true(index.hasRoom(1));
});

test('reclaimed nodes serve again, and what living copies read stays right', (t) => {
	const random = new Random(20262);
	t.log(`seed ${random.seed}`);
	const capacity = 600;
	const index = ChunkIndex.create(1000, capacity);
	const model: number[][] = Array.from({ length: 1000 }, () => []);
	let base = 1;
	let reclaims = 0;
	for (let location = 2; location < 30_000; location += 2) {
		// Moves over the volume, so that chunks come that have no version that lives.
		const nearby = () => (Math.floor(location / 100) + random.integer(40)) % 1000;
		if (!index.hasRoom(1)) {
			base = Math.max(base, location - 2 * (100 + random.integer(capacity - 200)));
			index.reclaim(base);
			reclaims++;
			t.true(index.hasRoom(1));
		}
		const chunk = nearby();
		index.publish(chunk, location);
		model[chunk]!.push(location);
		const from = base + random.integer(location - base + 4);
		const asked = nearby();
		t.is(index.find(asked, from), oldestFrom(model[asked]!, from));
	}
	t.true(reclaims > 20);
});

test('a reader in another thread finds what lives while the nodes of other chunks are taken again and again', async (t) => {
	const share = raceShare();
	const reader = new Worker(new URL('./chunk-index-reader.js', import.meta.url), { workerData: share });
	const verdict = once(reader, 'message', { signal: AbortSignal.timeout(60_000) });
	const random = new Random(20264);
	t.log(`seed ${random.seed}`);
	const index = ChunkIndex.attach(share.index);
	const control = new Int32Array(share.control);
	for (let chunk = 0; chunk < RACE_CHUNKS; chunk += RACE_STRIDE) index.publish(chunk, RACE_BASE + chunk);
	let location = 1;
	while (Atomics.load(control, RACE_ASKED) < 1_000_000 && location < RACE_BASE) {
		while (index.hasRoom(1)) {
			const chunk = random.integer(RACE_CHUNKS);
			if (chunk % RACE_STRIDE !== 0) index.publish(chunk, location++);
		}
		index.reclaim(RACE_BASE);
	}
	Atomics.store(control, RACE_OVER, 1);
	t.deepEqual((await verdict)[0], []);
	await reader.terminate();
});
