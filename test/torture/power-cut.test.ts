/** Power cuts in a short run; `make torture` has the long one. The bugs planted here are a test of the test. */
import { syncBuiltinESMExports } from 'node:module';
import zlib from 'node:zlib';
import test from 'ava';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import type { ChunkContent } from '../../src/diff/segment-writer.ts';
import type { FileCall } from './file-calls.ts';
import { cutPower } from './power-cut.ts';

const SEEDS = [1, 2, 3, 4];
const STATES = 250;

for (const seed of SEEDS) {
	test.serial(`after a power cut every copy is exact, and everything flushed is there (seed ${seed})`, (t) => {
		t.log(`seed ${seed}`);
		t.deepEqual(cutPower({ seed, states: STATES }), { states: STATES, failures: [] });
	});
}

/** The states that are tried until one fails. */
function statesUntilFound(ignore?: (call: FileCall) => boolean): number {
	let tried = 0;
	for (const seed of SEEDS) {
		const { states, failures } = cutPower({ seed, states: STATES, failuresMax: 1, ...(ignore && { ignore }) });
		tried += states;
		if (failures.length > 0) return tried;
	}
	return Number.POSITIVE_INFINITY;
}

const isSync = (call: FileCall, name: RegExp, dataOnly: boolean) =>
	call.kind === 'sync' && call.dataOnly === dataOnly && name.test(call.path);

const SKIPPED: Record<string, (call: FileCall) => boolean> = {
	'the flush of old chunks': (call) => isSync(call, /\.segment$/, true),
	'the flush of a new segment': (call) => isSync(call, /\.segment$/, false),
	'the flush of a new catalog': (call) => isSync(call, /catalog/, false),
	'the flush of names in the storage': (call) => call.kind === 'syncDirectory' && call.path.endsWith('.noonmark'),
	"the flush of the storage's own name": (call) => call.kind === 'syncDirectory' && !call.path.endsWith('.noonmark'),
	'the flush of the volume': (call) => isSync(call, /disk\.img$/, true),
	"the flush of the image's time": (call) => isSync(call, /disk\.img$/, false),
};

for (const [what, ignore] of Object.entries(SKIPPED)) {
	test.serial(`it is found that ${what} is skipped`, (t) => {
		const states = statesUntilFound(ignore);
		t.log(`${states} states`);
		t.true(states <= SEEDS.length * STATES);
	});
}

test.serial('it is found that the volume is overwritten before its old chunks are preserved', (t) => {
	const { preserve } = DiffArea.prototype;
	const { drain } = LiveVolume.prototype;
	const late: [DiffArea, readonly ChunkContent[]][] = [];
	DiffArea.prototype.preserve = function (chunks) {
		late.push([this, chunks.map(({ chunkIndex, content }) => ({ chunkIndex, content: Buffer.from(content) }))]);
	};
	LiveVolume.prototype.drain = function () {
		drain.call(this);
		for (const [diffArea, chunks] of late.splice(0)) preserve.call(diffArea, chunks);
	};
	try {
		const states = statesUntilFound();
		t.log(`${states} states`);
		t.true(states <= SEEDS.length * STATES);
	} finally {
		DiffArea.prototype.preserve = preserve;
		LiveVolume.prototype.drain = drain;
	}
});

test.serial('it is found that checksums are not looked at', (t) => {
	const { crc32 } = zlib;
	const plant = (replacement: typeof crc32) => {
		zlib.crc32 = replacement;
		syncBuiltinESMExports();
	};
	plant(() => 0);
	try {
		const states = statesUntilFound();
		t.log(`${states} states`);
		t.true(states <= SEEDS.length * STATES);
	} finally {
		plant(crc32);
	}
});
