/**
 * Power cuts of a volume with a file system, as the kernel writes it: only what a copy uses is kept for it. The bugs
 * planted here are a test of the test.
 */
import anyTest from 'ava';
import type { BlockDevice } from '../../src/block/device.ts';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { NeededMap } from '../../src/diff/needed-map.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { journalRanges } from '../../src/ext/used-map.ts';
import { OwedChunks } from '../../src/service/owed-chunks.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { FAULTS, tryFaults } from './faulty-device.ts';
import { FILE_SYSTEMS, type KernelRecording, keepRecording, recordKernel } from './kernel-recording.ts';
import { findOwed, forgetful, type OwedFinder } from './owed-learner.ts';
import { cutPower } from './power-cut.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'dumpe2fs', 'debugfs', 'python3', 'fsfreeze', 'fstrim');
const test = canRun ? anyTest.serial : anyTest.serial.skip;

const SEED = Number(process.env.SEED ?? 20261125);
const STATES = 40;
/** Of the workload with faulty devices. */
const CALLS = 5;
const SEEDS_TO_FIND_MAX = 4;

const recordings = new Map<string, KernelRecording>();

for (const [name, options] of Object.entries(FILE_SYSTEMS).slice(0, 2)) {
	test(`of a file system with ${name} every copy keeps what it uses, whenever the power is cut`, async (t) => {
		t.timeout(120_000);
		const recording = await recordKernel(t, { seed: SEED, ...options });
		recordings.set(name, recording);
		t.log(`seed ${SEED}, ${recording.writes.length} writes of the kernel`);
		const { states, failures } = cutPower({ seed: SEED, states: STATES, recording });
		t.is(states, STATES);
		t.deepEqual(failures, [], failures.length > 0 ? keepRecording(recording) : '');
	});
}

test('whatever call goes wrong, copies keep what they use, or are reported lost', (t) => {
	const recording = recordings.get('groups')!;
	const { runs, failures } = tryFaults({ seed: 2, calls: CALLS, recording });
	t.is(runs, CALLS * FAULTS.length);
	t.deepEqual(failures, [], failures.length > 0 ? keepRecording(recording) : '');
});

const clear = (bits: Uint8Array, chunk: number) => {
	bits[chunk >>> 3]! &= ~(1 << (chunk & 7));
};

/** Reads the volume as it is now. */
const ofLiveVolume: OwedFinder = (owed, view, isFrozen, live) => {
	const read = (...args: Parameters<BlockDevice['read']>) => live.read(...args);
	const now = new Proxy(view, {
		get(target, name) {
			const value = name === 'read' ? read : Reflect.get(target, name, target);
			return typeof value === 'function' ? value.bind(target) : value;
		},
	});
	owed.add(now, isFrozen);
};

const withoutJournal: OwedFinder = (owed, view, isFrozen) => {
	owed.add(view, isFrozen);
	const fs = ExtFileSystem.open(view);
	const chunkAt = (block: number) => (block * fs.superblock.blockSizeBytes) / view.chunkSizeBytes;
	journalRanges(fs, (start, count) => {
		for (let chunk = Math.ceil(chunkAt(start)); chunk < Math.floor(chunkAt(start + count)); chunk++)
			clear(owed.bits, chunk);
	});
};

/** Plants something into a class while `action` runs. */
function planted<T extends object, K extends keyof T>(
	prototype: T,
	name: K,
	bug: (original: T[K]) => T[K],
	action: () => void,
) {
	const original = prototype[name];
	prototype[name] = bug(original);
	try {
		action();
	} finally {
		prototype[name] = original;
	}
}

function isFound(owed: OwedFinder = findOwed): boolean {
	const recording = recordings.get('groups')!;
	for (let seed = SEED; seed < SEED + SEEDS_TO_FIND_MAX; seed++) {
		if (cutPower({ seed, states: STATES, failuresMax: 1, recording, owed }).failures.length > 0) return true;
	}
	return false;
}

test('it is found that the bitmaps are read from the live volume', (t) => {
	t.true(isFound(ofLiveVolume));
});

test('it is found that the journal of a copy that was not frozen is left out', (t) => {
	t.true(isFound(withoutJournal));
});

test('it is found that what is owed to older copies is forgotten', (t) => {
	planted(NeededMap.prototype, 'learn', forgetful, () => t.true(isFound()));
});

test('it is found that a discard preserves nothing', (t) => {
	let isDiscarding = false;
	const zero = (original: LiveVolume['zero']): LiveVolume['zero'] =>
		function (this: LiveVolume, byteOffset, lengthBytes, free) {
			this.drain();
			isDiscarding = free;
			original.call(this, byteOffset, lengthBytes, free);
			isDiscarding = false;
		};
	const preserve = (original: DiffArea['preserve']): DiffArea['preserve'] =>
		function (this: DiffArea, chunks) {
			if (!isDiscarding) original.call(this, chunks);
		};
	planted(LiveVolume.prototype, 'zero', zero, () =>
		planted(DiffArea.prototype, 'preserve', preserve, () => t.true(isFound())),
	);
});

test('it is found that after a restart nothing is kept until it is known what is used', (t) => {
	const open =
		(original: typeof DiffArea.open): typeof DiffArea.open =>
		(options) => {
			const diffArea = original.call(DiffArea, options);
			const { bits } = new OwedChunks(options.volumeSizeBytes, diffArea.share.chunkSizeBytes);
			const epochs = diffArea.copies.map(({ epoch }) => epoch);
			diffArea.needed.learn(epochs, bits);
			return diffArea;
		};
	planted(DiffArea, 'open', open, () => t.true(isFound()));
});
