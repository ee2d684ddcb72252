/** A race of seconds; `make torture` has one of minutes. */
import test from 'ava';
import { ChunkIndex } from '../../src/diff/chunk-index.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { NeededMap } from '../../src/diff/needed-map.ts';
import { forgetful } from './owed-learner.ts';
import { race } from './race.ts';

const SEED = Number(process.env.SEED ?? 20261125);
const SECONDS = 3;
const WIDER_MS = 3;

test.serial('readers in other threads see every copy exactly, whatever is written, made and deleted', async (t) => {
	t.log(`seed ${SEED}`);
	const { faults, ...counts } = await race(SEED, SECONDS);
	t.log(JSON.stringify(counts));
	t.deepEqual(faults, []);
	t.true(counts.reads > 0 && counts.copies > 0);
});

test.serial('it is found that old chunks are published after the volume is overwritten', async (t) => {
	const { publish } = ChunkIndex.prototype;
	const { drain } = LiveVolume.prototype;
	const nobody = new Int32Array(new SharedArrayBuffer(4));
	const late: (() => void)[] = [];
	ChunkIndex.prototype.publish = function (...args) {
		late.push(() => publish.apply(this, args));
	};
	LiveVolume.prototype.drain = function () {
		drain.call(this);
		if (late.length > 0) Atomics.wait(nobody, 0, 0, WIDER_MS);
		for (const publishNow of late.splice(0)) publishNow();
	};
	try {
		t.not((await race(SEED, 10 * SECONDS)).faults.length, 0);
	} finally {
		ChunkIndex.prototype.publish = publish;
		LiveVolume.prototype.drain = drain;
	}
});

test.serial('it is found that what is owed to older copies is forgotten', async (t) => {
	const { learn } = NeededMap.prototype;
	NeededMap.prototype.learn = forgetful(learn);
	try {
		t.not((await race(SEED, 10 * SECONDS)).faults.length, 0);
	} finally {
		NeededMap.prototype.learn = learn;
	}
});
