import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { chunkSizeFrom } from '../torture/workload.ts';
import { Rig } from './rig.ts';

for (const seed of [1, 2, 3, 4]) {
	test(`random writes, discards, creations, deletions, restarts and crashes: every copy stays as it was (seed ${seed})`, (t) => {
		const rig = new Rig(t, { seed, sizeBytes: 1_000_000 + 512 * seed, chunkSizeBytes: chunkSizeFrom(seed) });
		for (let round = 0; round < 12; round++) {
			for (let i = 0; i < 60; i++) rig.randomStep();
			t.deepEqual(rig.differences(), []);
		}
		t.deepEqual(rig.events, []);
	});
}

test('at the maximum size the oldest copies go, one by one; the rest and the live volume stay right', (t) => {
	const rig = new Rig(t, { seed: 5, sizeBytes: 2_000_000, maximumBytes: 1_500_000 });
	for (let round = 0; round < 20; round++) {
		for (let i = 0; i < 40; i++) rig.randomStep();
		t.deepEqual(rig.differences(), []);
		t.true(rig.diffArea.usedBytes <= 1_500_000);
	}
	t.true(rig.events.length > 3);
	t.true(rig.events.every((event) => event.kind === 'copy-evicted' && event.reason === 'maximum-size'));
});

test('a held write is read back, and reaches the volume after its time', (t) => {
	const rig = new Rig(t, { seed: 6, sizeBytes: 100_000 });
	rig.create();
	rig.write(20_000, Buffer.from('new content'));
	t.deepEqual(rig.differences(), []);
	t.is(rig.diffArea.usedBytes, 4096, 'nothing preserved yet');
	t.is(rig.liveVolume.drainIfDue(), 100);
	rig.liveVolume.flush();
	t.is(rig.liveVolume.drainIfDue(), -1);
	t.is(rig.diffArea.usedBytes, 4096 + 4096 + 16384);
	t.deepEqual(rig.differences(), []);
});

test('one write, and one discard, of more chunks than a record holds', (t) => {
	const rig = new Rig(t, { seed: 14, sizeBytes: 20_000_100 });
	rig.create();
	rig.write(9_000_000, rig.random.bytes(5000));
	rig.write(9_016_000, rig.random.bytes(100));
	rig.write(100_001, rig.random.bytes(12_000_000)); // over these, which are held
	t.deepEqual(rig.differences(), []);
	rig.create();
	rig.zero(5_000_001, 15_000_099); // to the end of the last chunk, which is short
	t.deepEqual(rig.differences(), []);
	t.deepEqual(rig.events, []);
});

test('a write to a held chunk stays when the only copy is deleted before the chunk is drained', (t) => {
	const rig = new Rig(t, { seed: 13, sizeBytes: 100_000 });
	rig.create();
	rig.write(20_000, Buffer.from('held'));
	rig.delete(1);
	rig.write(20_002, Buffer.from('newer'));
	t.deepEqual(rig.differences(), []);
	rig.liveVolume.flush();
	t.deepEqual(rig.differences(), []);
});

test('a chunk is preserved once an epoch, and chunks of zeros take no content', (t) => {
	const rig = new Rig(t, { seed: 7, sizeBytes: 1 << 20 });
	rig.create();
	for (let i = 0; i < 5; i++) {
		rig.write(100, rig.random.bytes(300));
		rig.liveVolume.flush();
	}
	t.is(rig.diffArea.usedBytes, 4096 + (4096 + 16384));
	rig.write((1 << 20) - 16384, rig.random.bytes(16384));
	rig.liveVolume.flush();
	t.is(rig.diffArea.usedBytes, 4096 + (4096 + 16384) + 4096);
	t.deepEqual(rig.differences(), []);
});

test('a torn tail is dropped when the diff area is opened', (t) => {
	const rig = new Rig(t, { seed: 8, sizeBytes: 300_000 });
	rig.create();
	rig.write(0, rig.random.bytes(50_000));
	rig.liveVolume.flush();
	const sound = rig.diffArea.usedBytes;
	const before = Buffer.from(rig.live);
	rig.liveVolume.write(100_000, rig.random.bytes(1000));
	rig.liveVolume.drain();
	// The cut: the record's content did not get to the disk whole, so the volume was not overwritten.
	truncateSync(join(`${rig.image}.noonmark`, 'epoch-00000001.segment'), rig.diffArea.usedBytes - 8000);
	rig.volume.write(0, before);
	rig.crash();
	t.deepEqual(rig.events, []);
	t.is(rig.diffArea.usedBytes, sound);
	t.deepEqual(rig.differences(), []);
	t.deepEqual(rig.events, []);
});

test('a volume whose stamp is the same is refused where its state is another', (t) => {
	const rig = new Rig(t, { seed: 13, sizeBytes: 100_000 });
	rig.create();
	rig.diffArea.close('yesterday');
	const options = {
		directory: `${rig.image}.noonmark`,
		volumeSizeBytes: 100_000,
		volumeStamp: 'yesterday',
		newVolumeId: '',
	};
	const at = (volumeState: string) => DiffArea.open({ ...options, volumeState });
	at('rest').close('yesterday');
	t.throws(() => at('sea'), { code: 'volume-changed', message: /superblock should say "rest", but says "sea"/ });
	const reopened = at('rest');
	reopened.noteVolumeStates(['rest', 'sea']);
	reopened.close('yesterday');
	at('sea').close('yesterday');
	t.throws(() => at('rest'), { code: 'volume-changed' });
});

test('a view of a deleted copy says so instead of serving bytes', (t) => {
	const rig = new Rig(t, { seed: 10, sizeBytes: 100_000 });
	rig.create();
	const reader = new DiffAreaReader(rig.diffArea.share);
	const view = new ShadowView(rig.volume, reader, 1);
	rig.delete(1);
	t.true(view.isGone());
	t.throws(() => view.read(0, Buffer.alloc(10)), { code: 'copy-gone' });
	reader.close();
});

test('a volume of another size, or changed while the diff area was closed, is refused', (t) => {
	const rig = new Rig(t, { seed: 11, sizeBytes: 100_000 });
	rig.create();
	rig.diffArea.close('yesterday');
	const options = { directory: `${rig.image}.noonmark`, volumeSizeBytes: 100_000, maximumBytes: null, newVolumeId: '' };
	t.throws(() => DiffArea.open({ ...options, volumeStamp: 'today' }), { code: 'volume-changed' });
	t.throws(() => DiffArea.open({ ...options, volumeSizeBytes: 90_000, volumeStamp: 'yesterday' }), {
		code: 'volume-resized',
	});
	const reopened = DiffArea.open({ ...options, volumeStamp: 'yesterday' });
	t.is(reopened.copies.length, 1);
	reopened.close('yesterday');
	const changed = DiffArea.open({ ...options, volumeStamp: 'today', lostBefore: 2 });
	t.deepEqual(changed.copies, [], 'where all of its copies are lost, a change harms none');
	t.like(changed.takeEvents(), [{ kind: 'copies-lost' }]);
	changed.close(null);
});
