import test from 'ava';
import { PreservedChunks } from '../../src/diff/preserved-chunks.ts';
import { PAGE_BYTES } from '../../src/diff/segment.ts';
import { Rig } from './rig.ts';

test('resizing down deletes the oldest copies until the rest fits; the size is kept', (t) => {
	const rig = new Rig(t, { seed: 1, sizeBytes: 1_000_000, maximumBytes: 2_000_000 });
	for (let i = 0; i < 4; i++) {
		rig.create();
		rig.write(0, rig.random.bytes(200_000));
		rig.liveVolume.flush();
	}
	const used = rig.diffArea.usedBytes;
	rig.diffArea.resize(used);
	t.is(rig.diffArea.copies.length, 4);
	rig.diffArea.resize(used - 1);
	rig.noteEvents();
	t.deepEqual(
		rig.events.map((event) => event.kind === 'copy-evicted' && [event.copy.epoch, event.reason]),
		[[1, 'maximum-size']],
	);
	t.deepEqual(rig.differences(), []);
	rig.restart();
	t.is(rig.diffArea.maximumBytes, 2_000_000, 'what the mount says counts');
	rig.diffArea.resize(used - 1);
	rig.options = { ...rig.options, maximumBytes: undefined };
	rig.restart();
	t.is(rig.diffArea.maximumBytes, used - 1, 'it says nothing: what was kept counts');
	t.deepEqual(rig.differences(), []);
});

test('protect-shadows: without room the write fails, the copies and the rest of the volume stay', (t) => {
	const rig = new Rig(t, { seed: 2, sizeBytes: 1_000_000, maximumBytes: 300_000, policy: 'protect-shadows' });
	rig.create();
	rig.write(0, rig.random.bytes(200_000));
	rig.liveVolume.flush();
	t.throws(() => rig.liveVolume.write(300_000, rig.random.bytes(150_000)), { code: 'storage-full' });
	t.throws(() => rig.liveVolume.zero(300_000, 150_000, true), { code: 'storage-full' });
	t.throws(() => rig.diffArea.resize(100_000), { code: 'storage-full' });
	t.notThrows(() => rig.liveVolume.flush(), 'nothing is held that cannot be kept');
	t.notThrows(() => rig.write(0, rig.random.bytes(200_000)), 'preserved already');
	rig.noteEvents();
	t.is(rig.events.length, 1, 'told once');
	t.like(rig.events[0], { kind: 'write-refused', faultName: 'maximum-size' });
	rig.diffArea.resize(600_000);
	rig.write(300_000, rig.random.bytes(150_000));
	rig.liveVolume.flush();
	t.deepEqual(rig.differences(), []);
	t.throws(() => rig.liveVolume.write(450_000, rig.random.bytes(300_000)), { code: 'storage-full' });
	rig.noteEvents();
	t.is(rig.events.length, 2, 'and after something changed, again');
});

for (const end of ['restart', 'crash'] as const) {
	test(`protect-shadows: up and down, the size is what it was after a ${end}, and no copy is lost`, (t) => {
		const rig = new Rig(t, { seed: 5, sizeBytes: 1_000_000, maximumBytes: 300_000, policy: 'protect-shadows' });
		const isFull = (byteOffset: number) =>
			t.throws(() => rig.liveVolume.write(byteOffset, rig.random.bytes(100_000)), { code: 'storage-full' });
		const goOnWith = (maximumBytes: number) => {
			rig[end]();
			t.is(rig.diffArea.maximumBytes, maximumBytes);
			t.deepEqual(rig.differences(), []);
		};
		rig.create();
		rig.write(0, rig.random.bytes(200_000));
		rig.liveVolume.flush();
		rig.create();
		rig.options = { ...rig.options, maximumBytes: undefined };
		isFull(250_000);

		rig.diffArea.resize(500_000);
		goOnWith(500_000);
		rig.write(250_000, rig.random.bytes(200_000));
		rig.liveVolume.flush();
		isFull(0);

		const { usedBytes } = rig.diffArea;
		t.throws(() => rig.diffArea.resize(usedBytes - 1), { code: 'storage-full' });
		goOnWith(500_000);
		rig.diffArea.resize(usedBytes);
		goOnWith(usedBytes);
		isFull(0);
		rig.delete(1);
		goOnWith(usedBytes);
		rig.write(0, rig.random.bytes(50_000));
		goOnWith(usedBytes);
		t.deepEqual([...rig.copies.keys()], [2]);
		t.true(rig.events.every(({ kind }) => kind === 'write-refused'));
	});
}

test('one copy more than the maximum is refused, and deleting one makes room for it', (t) => {
	const rig = new Rig(t, { seed: 3, sizeBytes: 100_000, maximumCopies: 2 });
	rig.create();
	rig.create();
	t.throws(() => rig.create(), {
		code: 'too-many-copies',
		message: /has 2 shadow copies, and may have 2; delete 1 first/,
	});
	rig.delete(1);
	rig.create();
	t.deepEqual(rig.differences(), []);
	rig.options = { ...rig.options, maximumCopies: 1 };
	rig.restart();
	t.throws(() => rig.create(), {
		code: 'too-many-copies',
		message: /has 2 shadow copies, and may have 1; delete 2 first/,
	});
	t.deepEqual(rig.differences(), [], 'a lower maximum deletes nothing');
});

test('a copy that had to go before it was on record is not reported as made', (t) => {
	const rig = new Rig(t, { seed: 4, sizeBytes: 1_000_000, maximumBytes: 200_000 });
	rig.diffArea.prepareCommit();
	rig.diffArea.commit('too large');
	rig.write(0, rig.random.bytes(300_000));
	rig.liveVolume.flush();
	t.throws(() => rig.diffArea.finishCommit(), { code: 'copy-lost' });
	rig.diffArea.abortCommit();
	t.like(rig.diffArea.takeEvents(), [{ kind: 'copy-evicted', reason: 'maximum-size' }]);
	rig.create();
	rig.restart();
	t.deepEqual(rig.differences(), []);
	t.is(rig.diffArea.copies.length, 1);
});

const LAYOUT = { volumeSizeBytes: 2 ** 40, chunkSizeBytes: 16384 };

test('one life of a service keeps 8 TiB and 2^26 records: then no copy that goes makes room', (t) => {
	const record = PAGE_BYTES + LAYOUT.chunkSizeBytes;
	const chunks = PreservedChunks.forSegments(LAYOUT, 1, []);
	chunks.beginEpoch(PAGE_BYTES * (2 ** 31 - 1) - 2 * record);
	t.true(chunks.makeRoom(1, record, 1));
	chunks.growTo(1, PAGE_BYTES * (2 ** 31 - 1) - record);
	chunks.beginEpoch(0);
	t.false(chunks.makeRoom(1, record, 2));

	const records = PreservedChunks.forSegments(LAYOUT, 1, []);
	records.beginEpoch(PAGE_BYTES);
	new Uint32Array(records.records.share)[0] = 2 ** 26 - 1;
	t.true(records.makeRoom(1, record, 1));
	records.addRecord(1, 1);
	t.false(records.makeRoom(1, record, 2));
});

test('a storage of more than 2^27 chunks, whose index has more than 4 GiB, can be opened', (t) => {
	const chunks = PreservedChunks.forSegments(LAYOUT, 1, [(2 ** 27 + 1) * LAYOUT.chunkSizeBytes]);
	chunks.beginEpoch(PAGE_BYTES);
	chunks.publish(2 ** 26 - 1, { epoch: 1, page: 2, isZero: false });
	t.true(chunks.isPreserved(2 ** 26 - 1, 1));
	t.false(chunks.isPreserved(2 ** 26 - 2, 1));
});

test('where the index is full, copies go by that name, also new ones; the volume goes on, and reopened it keeps copies', (t) => {
	const rig = new Rig(t, { seed: 6, sizeBytes: 1_000_000 });
	const overwrite = () => {
		rig.write(0, rig.random.bytes(500_000));
		rig.liveVolume.flush();
		rig.noteEvents();
		t.deepEqual(rig.differences(), []);
	};
	const evicted = () => rig.events.map((event) => event.kind === 'copy-evicted' && [event.copy.epoch, event.reason]);
	for (let i = 0; i < 2; i++) {
		rig.create();
		overwrite();
	}
	const { makeRoom } = PreservedChunks.prototype;
	PreservedChunks.prototype.makeRoom = () => false;
	t.teardown(() => {
		PreservedChunks.prototype.makeRoom = makeRoom;
	});
	rig.create();
	overwrite();
	rig.create();
	overwrite();
	t.deepEqual(
		evicted(),
		[1, 2, 3, 4].map((epoch) => [epoch, 'index-full']),
	);

	PreservedChunks.prototype.makeRoom = makeRoom;
	rig.restart();
	rig.create();
	overwrite();
	t.deepEqual([...rig.copies.keys()], [5]);
	t.is(rig.events.length, 4);
});
