/** What a damaged storage costs when it is opened: what is named, what is kept, and that the rest is exact. */
import {
	copyFileSync,
	existsSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	truncateSync,
	writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { encodeRecordHead } from '../../src/diff/segment.ts';
import { readStoredCopies } from '../../src/diff/stored-copies.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { interpose } from '../torture/file-calls.ts';
import { Rig } from './rig.ts';

const SIZE_BYTES = 700_000;

/** A volume with four copies, and more in the diff area than each copy's own epoch. */
function rigWithCopies(t: ExecutionContext, seed: number): Rig {
	const rig = new Rig(t, { seed, sizeBytes: SIZE_BYTES });
	for (let i = 0; i < 4; i++) {
		rig.create();
		rig.write(i * 60_000, rig.random.bytes(100_000));
		rig.liveVolume.flush();
		rig.write(i * 20_000 + 300_000, rig.random.bytes(50_000));
		rig.liveVolume.flush();
	}
	return rig;
}

const storageOf = (rig: Rig) => `${rig.image}.noonmark`;
const segmentOf = (rig: Rig, epoch: number) => join(storageOf(rig), `epoch-0000000${epoch}.segment`);

/** Goes on with a volume for a while: whatever can be read must stay exact. */
function goOn(t: ExecutionContext, rig: Rig): void {
	t.deepEqual(rig.differences(), []);
	for (let i = 0; i < 3; i++) {
		rig.write(rig.random.integer(500_000), rig.random.bytes(80_000));
		rig.liveVolume.flush();
		rig.write(rig.random.integer(500_000), rig.random.bytes(3000));
		if (i === 1) rig.create();
		t.deepEqual(rig.differences(), []);
	}
}

function overwrite(path: string, at: number, lengthBytes: number): void {
	const bytes = readFileSync(path);
	bytes.fill(0xee, at, at + lengthBytes);
	writeFileSync(path, bytes);
}

/** Where the records of a segment begin. */
function recordsOf(path: string): number[] {
	const bytes = readFileSync(path);
	const pages = Array.from({ length: bytes.length / 4096 }, (_, i) => 4096 * i);
	return pages.filter((at) => bytes.subarray(at, at + 8).toString() === 'NMRECORD');
}

const HEADER_CRC_AT = 0x3c;

function changeHeader(path: string, change: (page: Buffer) => void): void {
	const bytes = readFileSync(path);
	change(bytes);
	bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_CRC_AT)), HEADER_CRC_AT);
	writeFileSync(path, bytes);
}

const placesOf = (segment: string) => segment.replace('segment', 'places');

const DAMAGE: Record<string, { harm: (path: string) => void; says: RegExp }> = {
	missing: { harm: (path) => rmSync(path), says: /segment is missing/ },
	truncated: { harm: (path) => truncateSync(path, 30_000), says: /byte .*durable/ },
	'cut down to nothing': { harm: (path) => truncateSync(path, 0), says: /has 0 bytes/ },
	'of another volume': {
		harm: (path) => changeHeader(path, (page) => page.writeUInt8(0xff, 0x10)),
		says: /belongs to another volume/,
	},
	'of a later version': { harm: (path) => changeHeader(path, (page) => page.writeUInt32LE(9, 8)), says: /version 9/ },
	'damaged in its header': { harm: (path) => overwrite(path, 0x20, 5), says: /checksum of its header/ },
	'damaged in the header of its second record': {
		harm: (path) => {
			// It stands in for the headers of records, which are checked when somebody reads what they tell of.
			rmSync(placesOf(path), { force: true });
			overwrite(path, recordsOf(path)[1]!, 7);
		},
		says: /record 1 at byte \d+ is damaged|sound up to byte/,
	},
};

let seed = 100;
for (const [what, { harm, says }] of Object.entries(DAMAGE)) {
	for (const epoch of [2, 4]) {
		test(`a segment ${what} (${epoch} of 4): its readers are kept unreadable, the rest is exact, and it can come back`, (t) => {
			const rig = rigWithCopies(t, seed++);
			rig.restart();
			rig.close();
			const path = segmentOf(rig, epoch);
			t.is(existsSync(placesOf(path)), epoch < 4, 'of a segment that does not grow any more');
			copyFileSync(path, `${path}.kept`);
			harm(path);
			const asItIs = { directory: storageOf(rig), volumeSizeBytes: SIZE_BYTES, volumeStamp: 'today' };
			const stored = readStoredCopies(asItIs)!.copies;
			rig.open();
			const epochs = [1, 2, 3, 4].slice(0, epoch);
			t.deepEqual([...rig.unreadable.keys()], epochs);
			for (const { fault } of rig.diffArea.allCopies.slice(0, epoch)) {
				t.regex(fault!, says);
				t.true(fault!.includes(path), 'the file is named');
			}
			t.deepEqual(
				stored.map(({ fault }) => fault),
				rig.diffArea.allCopies.map(({ fault }) => fault),
				'who may only read finds the same',
			);
			goOn(t, rig);
			const told = rig.events.length;
			t.is(told, epoch);
			rig.crash();
			t.deepEqual(rig.differences(), []);
			t.is(rig.events.length, told, 'what is on record is not told again');
			rig.close();
			renameSync(`${path}.kept`, path);
			rig.open();
			t.is(rig.unreadable.size, 0);
			t.deepEqual(
				rig.events.slice(told).map((event) => event.kind),
				epochs.map(() => 'copy-readable'),
			);
			goOn(t, rig);
		});
	}
}

test('damage in the middle of the newest segment is no torn tail, also after a crash', (t) => {
	const rig = new Rig(t, { seed: 12, sizeBytes: SIZE_BYTES });
	rig.create();
	for (let i = 0; i < 5; i++) {
		rig.write(i * 70_000, rig.random.bytes(20_000));
		rig.liveVolume.flush();
	}
	overwrite(segmentOf(rig, 1), recordsOf(segmentOf(rig, 1))[1]!, 7);
	rig.crash();
	t.deepEqual([...rig.unreadable.keys()], [1]);
	goOn(t, rig);
});

/** A page like the header of a record of epoch 1, as in a copy of a segment of another volume. */
function strayHead(sequence: number, atBytes: number): Buffer {
	const page = Buffer.alloc(4096);
	encodeRecordHead({ sequence, atBytes, data: [], zeros: [] }, 1, page);
	return page;
}

test('a torn tail of old content that looks like records is a torn tail', (t) => {
	const rig = new Rig(t, { seed: 13, sizeBytes: SIZE_BYTES });
	const chunks = Array.from({ length: 6 }, (_, i) =>
		Buffer.concat(Array.from({ length: 4 }, (_, page) => strayHead(4 * i + page + 2, 4096 + 16384 * i))),
	);
	rig.write(0, Buffer.concat(chunks));
	rig.create();
	rig.write(300_000, rig.random.bytes(20_000));
	rig.liveVolume.flush();
	const kept = Buffer.from(rig.live);
	rig.write(0, rig.random.bytes(16384 * chunks.length));
	rig.liveVolume.flush();
	// As if the power had gone before that was durable: then the volume is as it was.
	const torn = recordsOf(segmentOf(rig, 1))[1]!;
	overwrite(segmentOf(rig, 1), torn, 512);
	writeFileSync(rig.image, kept);
	kept.copy(rig.live);
	rig.crash();
	t.is(statSync(segmentOf(rig, 1)).size, torn);
	goOn(t, rig);
});

test('an unreadable copy can be deleted, and is the first to be evicted', (t) => {
	const rig = rigWithCopies(t, 20);
	rig.close();
	rmSync(segmentOf(rig, 2));
	rig.open();
	t.true(rig.diffArea.delete(1));
	rig.unreadable.delete(1);
	t.deepEqual(rig.differences(), []);
	rig.diffArea.resize(rig.diffArea.usedBytes - 1);
	rig.noteEvents();
	t.deepEqual([...rig.unreadable.keys(), ...rig.copies.keys()], [3, 4]);
	goOn(t, rig);
});

const CATALOG_DAMAGE: Record<string, (path: string) => void> = {
	missing: (path) => rmSync(path),
	'half-written': (path) => truncateSync(path, 300),
	empty: (path) => truncateSync(path, 0),
	'another file': (path) => writeFileSync(path, '[1,2,3]\n'),
	'no object': (path) => writeFileSync(path, 'null'),
	'with a wrong checksum': (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('"epoch":3', '"epoch":2')),
};

for (const [what, harm] of Object.entries(CATALOG_DAMAGE)) {
	test(`a catalog that is ${what}: its backup is read, and that is told`, (t) => {
		const rig = rigWithCopies(t, seed++);
		rig.close();
		const catalog = join(storageOf(rig), 'catalog');
		harm(catalog);
		rig.open();
		t.like(rig.events, [{ kind: 'catalog-restored' }]);
		t.deepEqual(rig.differences(), []);
		harm(`${catalog}.backup`);
		rig.restart();
		t.is(rig.events.length, 1, 'the first one is whole again');
		t.deepEqual(rig.differences(), []);
	});

	test(`both catalogs ${what}: nothing is opened, nothing is removed`, (t) => {
		const rig = rigWithCopies(t, seed++);
		rig.close();
		const catalogs = ['catalog', 'catalog.backup'].map((name) => join(storageOf(rig), name));
		const kept = readFileSync(catalogs[0]!);
		for (const catalog of catalogs) harm(catalog);
		const error = t.throws<Error & { code: string }>(() => rig.open());
		t.is(error.code, what === 'missing' ? 'catalog-missing' : 'catalog-damaged');
		t.true(error.message.includes(storageOf(rig)));
		writeFileSync(catalogs[1]!, kept);
		rig.open();
		t.deepEqual(rig.differences(), []);
	});
}

/** Writes both catalogs anew, with a right checksum. */
function rewriteCatalog(rig: Rig, change: (catalog: { version: number; body: Record<string, unknown> }) => void): void {
	const path = join(storageOf(rig), 'catalog');
	const catalog = JSON.parse(readFileSync(path, 'utf8'));
	change(catalog);
	catalog.crc32 = crc32(JSON.stringify(catalog.body));
	for (const name of [path, `${path}.backup`]) writeFileSync(name, JSON.stringify(catalog));
}

test('a catalog of an earlier version of the program is read, and fields that a later one added are let be', (t) => {
	const rig = rigWithCopies(t, 30);
	rig.close();
	rewriteCatalog(rig, ({ body }) => {
		for (const field of ['maximumBytes', 'segments', 'volumeStamp']) delete body[field];
		body.copies = (body.copies as { epoch: number; label: unknown }[]).map(({ epoch, label }) => ({ epoch, label }));
		body.somethingNew = { deep: [1] };
	});
	rig.open();
	goOn(t, rig);
	t.deepEqual(rig.events, []);
});

test('a new diff area divides its volume by its size, and keeps that', (t) => {
	const gib = 2 ** 30;
	const directory = join(temporaryDirectory(t), 'storage');
	const chunkSizeOf = (volumeSizeBytes: number) => {
		const newVolumeId = '00112233445566778899aabbccddeeff';
		const diffArea = DiffArea.open({ directory, volumeSizeBytes, volumeStamp: 'today', newVolumeId });
		diffArea.close('today');
		return diffArea.share.chunkSizeBytes;
	};
	const sizes = [
		1,
		32 * gib,
		32 * gib + 1,
		256 * gib,
		256 * gib + 1,
		1024 * gib,
		1024 * gib + 1,
		4096 * gib,
		4096 * gib + 1,
	];
	const expected = [4096, 4096, 8192, 8192, 16384, 16384, 32768, 32768, 65536];
	t.deepEqual(sizes.map(chunkSizeOf), expected, 'without copies a volume may get another size');
	const rig = new Rig(t, { seed: 34, sizeBytes: SIZE_BYTES, chunkSizeBytes: 8192 });
	rig.create();
	rig.write(0, rig.random.bytes(100_000));
	rig.options = { ...rig.options, chunkSizeBytes: 4096 };
	rig.restart();
	t.is(rig.diffArea.share.chunkSizeBytes, 8192);
	t.deepEqual(rig.differences(), []);
});

test('a catalog of a later format version is refused by that name', (t) => {
	const rig = rigWithCopies(t, 31);
	rig.close();
	rewriteCatalog(rig, (catalog) => {
		catalog.version = 2;
	});
	t.throws(() => rig.open(), { code: 'catalog-version', message: /version 2/ });
});

const WRONG_FIELDS: Record<string, unknown> = {
	volumeId: 'short',
	volumeSizeBytes: -1,
	chunkSizeBytes: '16384',
	maximumBytes: 'much',
	nextEpoch: 2,
	copies: { epoch: 1 },
	segments: [{ epoch: 1, durableBytes: null }],
	volumeStamp: 7,
};

for (const [field, value] of Object.entries(WRONG_FIELDS)) {
	test(`a catalog whose ${field} makes no sense is damaged, and says so`, (t) => {
		const rig = rigWithCopies(t, 32);
		rig.close();
		rewriteCatalog(rig, ({ body }) => {
			body[field] = value;
		});
		t.throws(() => rig.open(), { code: 'catalog-damaged' });
	});
}

test('without copies a volume may have got another size; with copies it is refused', (t) => {
	const rig = rigWithCopies(t, 33);
	rig.close();
	truncateSync(rig.image, SIZE_BYTES + 4096);
	const { sizeBytes } = rig;
	Object.assign(rig, { sizeBytes: SIZE_BYTES + 4096, live: Buffer.concat([rig.live], SIZE_BYTES + 4096) });
	t.throws(() => rig.open(), {
		code: 'volume-resized',
		message: /has 704096 bytes, but had 700000, .* 4 shadow copies/,
	});
	truncateSync(rig.image, sizeBytes);
	Object.assign(rig, { sizeBytes, live: rig.live.subarray(0, sizeBytes) });
	rig.open();
	for (const epoch of [...rig.copies.keys()]) rig.delete(epoch);
	rig.close();
	truncateSync(rig.image, SIZE_BYTES + 4096);
	Object.assign(rig, { sizeBytes: SIZE_BYTES + 4096, live: Buffer.concat([rig.live], SIZE_BYTES + 4096) });
	rig.open();
	goOn(t, rig);
});

test.serial(
	'a storage that dies so badly that the loss cannot be noted there: it is noted elsewhere first, and told at the next opening',
	(t) => {
		let lostBefore: number | undefined;
		const rig = new Rig(t, {
			seed: 34,
			sizeBytes: SIZE_BYTES,
			onUnrecordedLoss: (epoch) => {
				lostBefore = epoch;
			},
		});
		let isDying = false;
		interpose(storageOf(rig), (call, perform) => {
			if (isDying && call.kind !== 'read') throw Object.assign(new Error(`EIO: ${call.kind}`), { code: 'EIO' });
			return perform();
		});
		t.teardown(() => interpose(storageOf(rig), undefined));
		rig.restart();
		rig.create();
		rig.write(0, rig.random.bytes(100_000));
		rig.liveVolume.flush();
		rig.create();
		isDying = true;
		rig.write(50_000, rig.random.bytes(200_000));
		t.is(lostBefore, undefined);
		rig.liveVolume.flush();
		isDying = false;
		rig.noteEvents();
		t.like(rig.events, [{ kind: 'copies-lost' }, { kind: 'storage-unwritable' }]);
		t.is(lostBefore, 3);
		t.deepEqual(rig.differences(), []);
		rig.volume.close();
		const asItIs = { directory: storageOf(rig), volumeSizeBytes: SIZE_BYTES, volumeStamp: 'today' };
		t.is(readStoredCopies(asItIs)!.copies.length, 2, 'the storage knows nothing of the loss');
		t.deepEqual(readStoredCopies({ ...asItIs, lostBefore: lostBefore! })!.copies, []);
		rig.options = { ...rig.options, lostBefore: lostBefore! };
		rig.events.length = 0;
		rig.open();
		t.like(rig.events, [{ kind: 'copies-lost' }]);
		rig.create();
		t.deepEqual([...rig.copies.keys()], [3]);
		goOn(t, rig);
	},
);
