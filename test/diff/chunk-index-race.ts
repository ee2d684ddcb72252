/** What the two threads of the race over a chunk index share. */
import { ChunkIndex, type ChunkIndexShare } from '../../src/diff/chunk-index.ts';

export const RACE_CHUNKS = 16;
/** Every so many chunks there is one that lives: its location is RACE_BASE and its own number. */
export const RACE_STRIDE = 8;
/** Where the oldest copy begins; whatever else is published lies before. */
export const RACE_BASE = 2 ** 30;
/** So few that they are taken again all the time. */
const NODES = 24;

/** Words of `control`: look-ups so far; 1 ends the race. */
export const RACE_ASKED = 0;
export const RACE_OVER = 1;

export interface RaceShare {
	readonly index: ChunkIndexShare;
	readonly control: SharedArrayBuffer;
}

export const raceShare = (): RaceShare => ({
	index: ChunkIndex.create(RACE_CHUNKS, NODES).share,
	control: new SharedArrayBuffer(8),
});
