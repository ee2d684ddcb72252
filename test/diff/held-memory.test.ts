/** What is held for a diff area that cannot keep up stays within its bound. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { RECORD_CHUNKS_MAX } from '../../src/diff/segment.ts';
import { closeAll, interpose } from '../torture/file-calls.ts';
import { Rig } from './rig.ts';

const MIB = 1 << 20;
const OVERWRITTEN_MIB = 64;
const DELAY_MS = 20;
/** Old and new content of the chunks of one record. */
const BOUND_BYTES = 2 * RECORD_CHUNKS_MAX * 16384;
/** The heads of records, and what Node needs for its files. */
const SLACK_BYTES = MIB;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function bufferBytes(): number {
	collectGarbage();
	collectGarbage(); // which first finishes what the first one left to be swept
	return process.memoryUsage().arrayBuffers;
}

test('64 MiB overwritten in a row, and each flush takes long: two records of chunks are held at most', (t) => {
	const rig = new Rig(t, { seed: 1, sizeBytes: OVERWRITTEN_MIB * MIB });
	t.teardown(() => {
		closeAll();
		interpose(rig.directory, undefined);
	});
	const sleeper = new Int32Array(new SharedArrayBuffer(4));
	const bytes = rig.random.bytes(MIB);
	const held: number[] = [];
	let before = 0;
	interpose(rig.directory, (call, perform) => {
		if (call.kind === 'sync' && call.path.endsWith('.segment')) {
			Atomics.wait(sleeper, 0, 0, DELAY_MS);
			held.push(bufferBytes() - before);
		}
		return perform();
	});
	rig.create();
	held.length = 0;
	before = bufferBytes();
	for (let i = 0; i < OVERWRITTEN_MIB; i++) rig.write(i * MIB, bytes);
	t.is(held.length, Math.floor((OVERWRITTEN_MIB * MIB) / 16384 / RECORD_CHUNKS_MAX), 'a flush for each full record');
	rig.liveVolume.flush();
	const most = Math.max(...held);
	t.log(`${held.length} flushes, ${(most / MIB).toFixed(1)} MiB at most, bound ${(BOUND_BYTES / MIB).toFixed(1)} MiB`);
	t.true(most >= BOUND_BYTES / 2, 'what is held was measured');
	t.true(most <= BOUND_BYTES + SLACK_BYTES, `${most} bytes`);
	t.deepEqual(rig.differences(), []);
});
