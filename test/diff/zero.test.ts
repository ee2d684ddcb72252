import { statSync } from 'node:fs';
import test from 'ava';
import { Rig } from './rig.ts';

const CHUNK_BYTES = 16384;
const CHUNKS = 64;

const allocatedBytes = (rig: Rig) => statSync(rig.image).blocks * 512;

/** A volume full of noise, with a copy that uses the chunks from `firstUsed` on. */
function usedFrom(rig: Rig, firstUsed: number): void {
	rig.write(0, rig.random.bytes(CHUNKS * CHUNK_BYTES));
	rig.liveVolume.flush();
	rig.create();
	const used = new Uint8Array(CHUNKS / 8);
	for (let chunk = firstUsed; chunk < CHUNKS; chunk++) used[chunk >> 3]! |= 1 << (chunk & 7);
	rig.diffArea.needed.learn([1], used);
	rig.used.set(1, new Set(Array.from({ length: CHUNKS - firstUsed }, (_, i) => firstUsed + i)));
}

test('a discard frees the volume; it preserves the chunks that it touches and that are needed, and no other', (t) => {
	const rig = new Rig(t, { seed: 1, sizeBytes: CHUNKS * CHUNK_BYTES });
	usedFrom(rig, 32);
	const [used, allocated] = [rig.diffArea.usedBytes, allocatedBytes(rig)];
	rig.liveVolume.zero(0, 20 * CHUNK_BYTES, true);
	rig.live.fill(0, 0, 20 * CHUNK_BYTES);
	t.is(rig.diffArea.usedBytes, used, 'free chunks cost nothing');
	t.is(allocated - allocatedBytes(rig), 20 * CHUNK_BYTES);
	rig.liveVolume.zero(30 * CHUNK_BYTES + 1, 4 * CHUNK_BYTES, true);
	rig.live.fill(0, 30 * CHUNK_BYTES + 1, 34 * CHUNK_BYTES + 1);
	t.is(rig.diffArea.usedBytes - used, 4096 + 3 * CHUNK_BYTES, 'chunks 32 and 33, and 34 for its first byte');
	t.is(allocated - allocatedBytes(rig), 24 * CHUNK_BYTES - 4096, 'but for the page that keeps its first byte');
	t.deepEqual(rig.differences(), []);
});

test('zeroing at any alignment is exact to the byte, on the volume and in the copies', (t) => {
	const rig = new Rig(t, { seed: 2, sizeBytes: CHUNKS * CHUNK_BYTES });
	usedFrom(rig, 0);
	for (let i = 0; i < 200; i++) {
		const start = rig.random.integer(rig.sizeBytes);
		const length = 1 + rig.random.integer(Math.min(rig.sizeBytes - start, rig.random.pick([1, 511, 5000, 100_000])));
		if (rig.random.integer(3) === 0) rig.write(start, rig.random.bytes(length));
		else rig.zero(start, length);
		if (i % 40 === 0) rig.create();
		if (i % 20 === 0) t.deepEqual(rig.differences(), []);
	}
	t.deepEqual(rig.differences(), []);
});
