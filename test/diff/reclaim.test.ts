import test from 'ava';
import { exclusiveBytes } from '../../src/diff/exclusive-bytes.ts';
import { PAGE_BYTES } from '../../src/diff/segment.ts';
import { chunkSizeFrom } from '../torture/workload.ts';
import { Rig } from './rig.ts';

const CHUNK_BYTES = 16384;

/** What the deletion of each copy alone would give back, as the diff area says. */
function toldBytes(rig: Rig): Map<number, number> {
	const epochs = rig.diffArea.copies.map(({ epoch }) => epoch);
	const bytes = exclusiveBytes(rig.diffArea.share, epochs);
	return new Map(epochs.map((epoch, i) => [epoch, i === 0 ? rig.diffArea.oldestBytes : bytes[i]!]));
}

function deleteAndReclaim(rig: Rig, epoch: number): number {
	const before = rig.diffArea.usedBytes;
	rig.delete(epoch);
	while (rig.diffArea.hasToReclaim) rig.diffArea.reclaim();
	return before - rig.diffArea.usedBytes;
}

for (const seed of [1, 2, 3]) {
	test(`deleting any copy gives back what it said, and what it said is all that nobody reads (seed ${seed})`, (t) => {
		const rig = new Rig(t, { seed, sizeBytes: 40 * CHUNK_BYTES, chunkSizeBytes: chunkSizeFrom(seed) });
		for (let round = 0; round < 40; round++) {
			for (let i = 0; i < 4; i++) {
				rig.create();
				for (let j = 0; j < 5; j++) rig.write(rig.random.integer(600_000), rig.random.bytes(20_000));
				rig.liveVolume.flush();
			}
			while (rig.copies.size > 4) {
				const epoch = rig.random.pick([...rig.copies.keys()]);
				const told = toldBytes(rig).get(epoch)!;
				t.is(deleteAndReclaim(rig, epoch), told);
			}
			if (round % 5 === 0) rig.restart();
			if (round % 7 === 0) rig.crash();
			t.deepEqual(rig.differences(), []);
			const { usedBytes, allocatedBytes } = rig.diffArea;
			t.true(usedBytes <= allocatedBytes);
		}
		t.deepEqual(rig.events, []);
		for (const epoch of [...rig.copies.keys()]) deleteAndReclaim(rig, epoch);
		t.is(rig.diffArea.usedBytes, 0);
	});
}

test('what was not given back before the end is given back after the next opening', (t) => {
	const rig = new Rig(t, { seed: 4, sizeBytes: 40 * CHUNK_BYTES });
	for (let i = 0; i < 3; i++) {
		rig.create();
		rig.write(0, rig.random.bytes(10 * CHUNK_BYTES));
		rig.liveVolume.flush();
	}
	const told = toldBytes(rig).get(2);
	t.is(told, 10 * CHUNK_BYTES);
	const before = rig.diffArea.usedBytes;
	rig.delete(2);
	rig.crash();
	t.true(rig.diffArea.hasToReclaim);
	while (rig.diffArea.hasToReclaim) rig.diffArea.reclaim();
	t.is(before - rig.diffArea.usedBytes, 10 * CHUNK_BYTES - placesBytes(2, 10));
	t.is(rig.diffArea.preservedBytes(2), PAGE_BYTES);
	t.deepEqual(rig.differences(), []);
	// The last record of the newest segment has no content any more, and is no torn tail for that.
	rig.delete(3);
	while (rig.diffArea.hasToReclaim) rig.diffArea.reclaim();
	rig.crash();
	t.deepEqual(rig.events, []);
	t.deepEqual(rig.differences(), []);
});

/** The files of sealed segments that say where their chunks are. */
const placesBytes = (segments: number, chunksEach: number) => segments * (32 + 8 * chunksEach);
