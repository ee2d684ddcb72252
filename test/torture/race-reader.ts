/** A thread that reads random parts of random shadow copies until it is stopped, and checks every sector. */
import { dirname } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import type { DiffAreaShare } from '../../src/diff/diff-area-types.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { messageOf, NoonmarkError } from '../../src/errors.ts';
import { Random } from '../helpers/random.ts';
import { interpose } from './file-calls.ts';
import { ANYTHING, delayer, isSectorOf, RaceTable, READABLE, SECTOR_BYTES } from './race-table.ts';

export interface ReaderSetup {
	readonly image: string;
	readonly diffArea: DiffAreaShare;
	readonly table: SharedArrayBuffer;
	readonly sectorCount: number;
	readonly seed: number;
}

export interface ReaderResult {
	readonly reads: number;
	readonly faults: readonly string[];
	/** Epochs of copies that were gone when they were read. */
	readonly gone: readonly number[];
}

const FAULTS_MAX = 5;
const SECTORS_MAX = 200;

const setup = workerData as ReaderSetup;
const table = new RaceTable(setup.sectorCount, setup.table);
const random = new Random(setup.seed);
interpose(dirname(setup.image), delayer(random));
const volume = FileDevice.open(setup.image, 'read');
const reader = new DiffAreaReader(setup.diffArea);
const faults: string[] = [];
const gone = new Set<number>();
const buffer = Buffer.alloc(SECTORS_MAX * SECTOR_BYTES);
let reads = 0;

while (!table.isStopped && faults.length < FAULTS_MAX) {
	const readable = table.slots.filter((slot) => table.state(slot) === READABLE);
	reader.closeSegmentsBefore(Math.min(...readable.map((slot) => table.epoch(slot))));
	for (let i = 0; i < 50 && readable.length > 0; i++) readAndCheck(random.pick(readable));
}
reader.close();
volume.close();
parentPort!.postMessage({ reads, faults, gone: [...gone] } satisfies ReaderResult);

function readAndCheck(slot: number): void {
	const epoch = table.epoch(slot);
	if (table.state(slot) !== READABLE) return;
	const first = random.integer(table.sectorCount);
	const count = 1 + random.integer(Math.min(table.sectorCount - first, random.pick([8, SECTORS_MAX])));
	const bytes = buffer.subarray(0, count * SECTOR_BYTES);
	try {
		new ShadowView(volume, reader, epoch).read(first * SECTOR_BYTES, bytes);
	} catch (error) {
		if (error instanceof NoonmarkError && error.code === 'copy-gone') gone.add(epoch);
		else faults.push(`copy ${epoch}: ${messageOf(error)}`);
		return;
	}
	reads++;
	const fault = faultIn(bytes, first, slot, epoch);
	// Where the slot went to another copy meanwhile, what was expected is not known any more.
	if (fault !== undefined && table.epoch(slot) === epoch) faults.push(fault);
}

function faultIn(bytes: Buffer, first: number, slot: number, epoch: number): string | undefined {
	for (let i = 0; i * SECTOR_BYTES < bytes.length; i++) {
		const expected = table.sequence(slot, first + i);
		const sector = bytes.subarray(i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES);
		if (expected !== ANYTHING && !isSectorOf(sector, first + i, expected)) {
			const found = `sector ${sector.readUInt32LE(0)} of write ${sector.readUInt32LE(4)}`;
			return `copy ${epoch}: sector ${first + i} should be of write ${expected}, it is ${found}`;
		}
	}
	return undefined;
}
