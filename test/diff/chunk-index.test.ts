import test from 'ava';
import { ChunkIndex } from '../../src/diff/chunk-index.ts';
import { Random } from '../helpers/random.ts';

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
	const index = ChunkIndex.create(40, capacity);
	const model: number[][] = Array.from({ length: 40 }, () => []);
	let base = 1;
	let reclaims = 0;
	for (let location = 2; location < 30_000; location += 2) {
		if (!index.hasRoom(1)) {
			base = Math.max(base, location - 2 * (100 + random.integer(capacity - 200)));
			index.reclaim(base);
			reclaims++;
			t.true(index.hasRoom(1));
		}
		const chunk = random.integer(40);
		index.publish(chunk, location);
		model[chunk]!.push(location);
		const from = base + random.integer(location - base + 4);
		const asked = random.integer(40);
		t.is(index.find(asked, from), oldestFrom(model[asked]!, from));
	}
	t.true(reclaims > 20);
});
