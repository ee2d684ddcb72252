/** The reader of the race: asks for chunks that live, and says which answers were wrong. */
import { parentPort, workerData } from 'node:worker_threads';
import { ChunkIndex } from '../../src/diff/chunk-index.ts';
import { RACE_ASKED, RACE_BASE, RACE_CHUNKS, RACE_OVER, RACE_STRIDE, type RaceShare } from './chunk-index-race.ts';

const share = workerData as RaceShare;
const index = ChunkIndex.attach(share.index);
const control = new Int32Array(share.control);
const faults: string[] = [];

// Nothing is published yet where even the last one is not there.
const last = RACE_CHUNKS - RACE_STRIDE;
while (index.find(last, RACE_BASE) === 0 && Atomics.load(control, RACE_OVER) === 0);

for (let chunk = 0; Atomics.load(control, RACE_OVER) === 0; chunk = (chunk + RACE_STRIDE) % RACE_CHUNKS) {
	const location = index.find(chunk, RACE_BASE);
	Atomics.add(control, RACE_ASKED, 1);
	if (location !== RACE_BASE + chunk && faults.length < 10) faults.push(`chunk ${chunk}: ${location}`);
}
parentPort!.postMessage(faults);
