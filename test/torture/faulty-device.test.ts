/** Faulty devices in a short run; `make torture` tries every call. */
import test from 'ava';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { FAULTS, tryFaults } from './faulty-device.ts';

/** Of the third, the policy protects the copies. */
const SEEDS = [1, 2, 3];
const CALLS = 20;

for (const seed of SEEDS) {
	test.serial(`whatever call goes wrong, copies are exact or reported lost (seed ${seed})`, (t) => {
		t.log(`seed ${seed}`);
		t.deepEqual(tryFaults({ seed, calls: CALLS }), { runs: CALLS * FAULTS.length, failures: [] });
	});
}

const isFound = () => SEEDS.some((seed) => tryFaults({ seed, calls: CALLS, failuresMax: 1 }).failures.length > 0);

test.serial('it is found that a flush hides a write that failed', (t) => {
	const { flush } = LiveVolume.prototype;
	LiveVolume.prototype.flush = function () {
		try {
			flush.call(this);
		} catch {}
	};
	try {
		t.true(isFound());
	} finally {
		LiveVolume.prototype.flush = flush;
	}
});

test.serial('it is found that lost copies are not reported', (t) => {
	const { takeEvents } = DiffArea.prototype;
	DiffArea.prototype.takeEvents = function () {
		return takeEvents.call(this).filter(({ kind }) => kind !== 'copies-lost');
	};
	try {
		t.true(isFound());
	} finally {
		DiffArea.prototype.takeEvents = takeEvents;
	}
});

test.serial('it is found that a loss which is not on record is forgotten', (t) => {
	const { unrecordedLossBefore } = Object.getOwnPropertyDescriptors(DiffArea.prototype);
	Object.defineProperty(DiffArea.prototype, 'unrecordedLossBefore', { get: () => 0, configurable: true });
	try {
		t.true(isFound());
	} finally {
		Object.defineProperty(DiffArea.prototype, 'unrecordedLossBefore', unrecordedLossBefore);
	}
});
