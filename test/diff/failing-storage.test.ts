/** A diff area whose segments fail or are slow, while the policy protects the copies. */
import { constants } from 'node:os';
import type { ExecutionContext } from 'ava';
import test from 'ava';
import { closeAll, type FileCall, interpose, systemError } from '../torture/file-calls.ts';
import { Rig } from './rig.ts';

const SIZE_BYTES = 1_000_000;
const DELAY_MS = 20;

/** A rig with one copy, whose segment is under `onCall`. */
function protectedRig(t: ExecutionContext, seed: number, onCall: (call: FileCall) => void): Rig {
	const rig = new Rig(t, { seed, sizeBytes: SIZE_BYTES, policy: 'protect-shadows' });
	t.teardown(() => {
		closeAll();
		interpose(rig.directory, undefined);
	});
	interpose(rig.directory, (call, perform) => {
		onCall(call);
		return perform();
	});
	rig.create();
	return rig;
}

const FAULTS = [
	{ name: 'ENOSPC', code: 'storage-full' },
	{ name: 'EDQUOT', code: 'storage-full' },
	{ name: 'EIO', code: 'storage-unwritable' },
] as const;

for (const [i, { name, code }] of FAULTS.entries()) {
	for (const kind of ['write', 'sync'] as const) {
		test.serial(`protect-shadows: ${name} of a segment's ${kind} fails the flush, and no copy is lost`, (t) => {
			let isFailing = false;
			const rig = protectedRig(t, 10 + i, (call) => {
				if (isFailing && call.kind === kind) throw systemError(kind, constants.errno[name]);
			});
			rig.write(0, rig.random.bytes(100_000));
			rig.liveVolume.flush();
			isFailing = true;
			const offered = rig.random.bytes(100_000);
			rig.liveVolume.write(300_000, offered);
			t.throws(() => rig.liveVolume.flush(), { code });
			isFailing = false;
			rig.noteEvents();
			t.deepEqual(rig.events, []);
			rig.write(300_000, offered);
			rig.liveVolume.flush();
			t.deepEqual(rig.differences(), [], 'with room again, the write goes through');
			rig.restart();
			t.deepEqual(rig.differences(), []);
		});
	}
}

test.serial('a segment that is slow to flush fails nothing', (t) => {
	let flushes = 0;
	const sleeper = new Int32Array(new SharedArrayBuffer(4));
	const rig = protectedRig(t, 20, ({ kind }) => {
		if (kind !== 'sync') return;
		flushes++;
		Atomics.wait(sleeper, 0, 0, DELAY_MS);
	});
	for (let i = 0; i < 40; i++) {
		const bytes = rig.random.bytes(1 + rig.random.integer(30_000));
		rig.write(rig.random.integer(SIZE_BYTES - bytes.length), bytes);
		if (i % 8 === 7) rig.liveVolume.flush();
	}
	rig.liveVolume.flush();
	t.true(flushes > 5, 'the delays were met');
	t.deepEqual(rig.differences(), []);
	rig.noteEvents();
	t.deepEqual(rig.events, []);
});

/** A rig whose catalog meets a full disk from now on, where `isFull()`. */
function rigOnFullDisk(t: ExecutionContext, seed: number, isFull: () => boolean, onUnrecordedLoss = (_: number) => {}) {
	const rig = new Rig(t, { seed, sizeBytes: SIZE_BYTES, onUnrecordedLoss });
	t.teardown(() => {
		closeAll();
		interpose(rig.directory, undefined);
	});
	interpose(rig.directory, (call, perform) => {
		if (isFull() && call.kind === 'write' && call.path.includes('catalog'))
			throw systemError('write', constants.errno.ENOSPC);
		return perform();
	});
	return rig;
}

test.serial('a deletion that the full disk does not take note of leaves the copy as it is', (t) => {
	let isFull = false;
	const rig = rigOnFullDisk(t, 30, () => isFull);
	rig.create();
	rig.diffArea.needed.learn([1], new Uint8Array(8));
	rig.used.set(1, new Set());
	rig.create();
	isFull = true;
	t.throws(() => rig.diffArea.delete(2), { code: 'catalog-unwritable' });
	rig.write(0, rig.random.bytes(300_000));
	rig.liveVolume.flush();
	isFull = false;
	rig.crash();
	t.deepEqual(rig.differences(), []);
});

test.serial('where the oldest copy goes to make room, but there is none for the note, it is noted elsewhere', (t) => {
	let isFull = false;
	const noted: number[] = [];
	const rig = rigOnFullDisk(
		t,
		31,
		() => isFull,
		(lostBefore) => noted.push(lostBefore),
	);
	rig.create();
	rig.write(0, rig.random.bytes(100_000));
	rig.create();
	isFull = true;
	t.throws(() => rig.diffArea.delete(1), { code: 'catalog-unwritable' });
	t.deepEqual(noted, [2]);
	t.is(rig.diffArea.unrecordedLossBefore, 2);
	isFull = false;
	rig.copies.delete(1);
	rig.write(50_000, rig.random.bytes(100_000));
	rig.options = { ...rig.options, lostBefore: 2 };
	rig.crash();
	t.deepEqual(rig.differences(), []);
});
