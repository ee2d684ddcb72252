/** A diff area whose segments fail or are slow, while the policy protects the copies. */
import { renameSync, symlinkSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import type { ExecutionContext } from 'ava';
import test from 'ava';
import { closeAll, type FileCall, interpose, systemError } from '../torture/file-calls.ts';
import { Rig, type RigOptions } from './rig.ts';

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
	{ name: 'ENOSPC', code: 'storage-full', event: 'no-space' },
	{ name: 'EDQUOT', code: 'storage-full', event: 'no-space' },
	{ name: 'EIO', code: 'storage-unwritable', event: 'EIO' },
] as const;

for (const [i, { name, code, event }] of FAULTS.entries()) {
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
			t.like(rig.events, [{ kind: 'write-refused', faultName: event }]);
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

/** A rig with two copies; while `isFailing()`, its catalog cannot be written, nor room be reserved for it. */
function rigWithoutCatalog(
	t: ExecutionContext,
	options: Omit<RigOptions, 'sizeBytes'>,
	faultName: 'ENOSPC' | 'EIO',
	isFailing: (call: FileCall) => boolean,
): Rig {
	const rig = new Rig(t, { sizeBytes: SIZE_BYTES, ...options });
	t.teardown(() => {
		closeAll();
		interpose(rig.directory, undefined);
	});
	rig.create();
	rig.write(0, rig.random.bytes(100_000));
	rig.create();
	interpose(rig.directory, (call, perform) => {
		if (isFailing(call) && call.path.includes('catalog') && call.kind !== 'read')
			throw systemError(call.kind, constants.errno[faultName]);
		return perform();
	});
	return rig;
}

for (const faultName of ['ENOSPC', 'EIO'] as const) {
	for (const epoch of [1, 2]) {
		test.serial(`${faultName} of the catalog: copy ${epoch} is not deleted, and stays exact`, (t) => {
			let isFailing = false;
			const rig = rigWithoutCatalog(t, { seed: 30 }, faultName, () => isFailing);
			isFailing = true;
			t.throws(() => rig.delete(epoch), { code: 'catalog-unwritable' });
			rig.write(50_000, rig.random.bytes(300_000));
			rig.liveVolume.flush();
			isFailing = false;
			rig.crash();
			t.deepEqual(rig.differences(), []);
			rig.delete(epoch);
			rig.crash();
			t.deepEqual(rig.differences(), []);
			t.deepEqual(rig.events, []);
		});
	}
}

test.serial('where the oldest copy goes to make room, but the catalog takes no note, it is noted elsewhere', (t) => {
	let isFailing = false;
	const noted: number[] = [];
	const onUnrecordedLoss = (lostBefore: number) => noted.push(lostBefore);
	const options = { seed: 31, maximumBytes: 450_000, onUnrecordedLoss };
	const rig = rigWithoutCatalog(t, options, 'ENOSPC', () => isFailing);
	isFailing = true;
	rig.write(0, rig.random.bytes(400_000));
	rig.liveVolume.flush();
	rig.noteEvents();
	t.deepEqual(
		rig.events.map(({ kind }) => kind),
		['copy-evicted', 'storage-unwritable'],
	);
	t.deepEqual(noted, [2]);
	t.is(rig.diffArea.unrecordedLossBefore, 2);
	isFailing = false;
	rig.options = { ...rig.options, lostBefore: 2 };
	rig.crash();
	t.deepEqual([...rig.copies.keys()], [2]);
	t.deepEqual(rig.differences(), []);
});

test.serial(
	'where the segments of the oldest copy make the room for the note that it is gone, it is on record',
	(t) => {
		let isFull = false;
		const rig = rigWithoutCatalog(t, { seed: 32, maximumBytes: 450_000 }, 'ENOSPC', (call) => {
			if (call.kind === 'unlink' && call.path.endsWith('.segment')) isFull = false;
			return isFull;
		});
		isFull = true;
		rig.write(0, rig.random.bytes(400_000));
		rig.liveVolume.flush();
		t.false(isFull);
		t.is(rig.diffArea.unrecordedLossBefore, 0);
		rig.crash();
		t.deepEqual(
			rig.events.map(({ kind }) => kind),
			['copy-evicted'],
		);
		t.deepEqual([...rig.copies.keys()], [2]);
		t.deepEqual(rig.differences(), []);
	},
);

test.serial('where the file system makes no holes, that is told once, and what is kept stays right', (t) => {
	const rig = new Rig(t, { seed: 33, sizeBytes: SIZE_BYTES });
	t.teardown(() => interpose(rig.directory, undefined));
	for (let copies = 0; copies < 4; copies++) {
		rig.create();
		// Each flush a record of its own, and so a hole.
		for (const byteOffset of [0, 200_000, 400_000]) {
			rig.write(byteOffset, rig.random.bytes(50_000));
			rig.liveVolume.flush();
		}
	}
	interpose(rig.directory, (call, perform) => {
		if (call.kind === 'zero') throw systemError('fallocate', constants.errno.EOPNOTSUPP);
		return perform();
	});
	for (const epoch of [2, 3]) {
		rig.delete(epoch);
		for (let steps = 0; rig.diffArea.hasToReclaim; steps++) {
			t.true(steps < 100);
			rig.diffArea.reclaim();
		}
	}
	rig.noteEvents();
	t.is(rig.events.length, 1);
	const [event] = rig.events;
	t.like(event, { kind: 'storage-unwritable', faultName: 'ENOTSUP' });
	t.regex((event as { fault: string }).fault, /cannot be given back before the older ones go/);
	t.deepEqual(rig.differences(), []);
});

test.serial('a maximum that could not be put on record is not the maximum', (t) => {
	const rig = rigWithoutCatalog(t, { seed: 34, maximumBytes: 900_000 }, 'EIO', () => true);
	t.throws(() => rig.diffArea.resize(800_000), { code: 'catalog-unwritable' });
	t.is(rig.diffArea.maximumBytes, 900_000);
});

test.serial('a storage that cannot be asked any more: its space is what was known, and the error names it', (t) => {
	const rig = new Rig(t, { seed: 35, sizeBytes: SIZE_BYTES });
	rig.create();
	rig.write(0, rig.random.bytes(100_000));
	rig.liveVolume.flush();
	const { usedBytes } = rig.diffArea;
	const storage = `${rig.image}.noonmark`;
	renameSync(storage, `${storage}.away`);
	symlinkSync(storage, storage); // each call fails with ELOOP
	t.is(rig.diffArea.allocatedBytes, usedBytes);
	t.throws(() => rig.diffArea.prepareCommit(), {
		code: 'storage-unwritable',
		message: /no segment can be made: ELOOP/,
	});
	unlinkSync(storage);
	renameSync(`${storage}.away`, storage);
	rig.create();
	t.deepEqual(rig.differences(), []);
});
