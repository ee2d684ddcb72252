/** What a copy reads, whatever of it is preserved, where, and when that happened. */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { BlockDevice } from '../../src/block/device.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { chunkSizeFrom } from '../torture/workload.ts';
import { Rig } from './rig.ts';

const CHUNK_BYTES = 16384;
/** More than are looked up together. */
const VOLUME_BYTES = 200 * CHUNK_BYTES + 1000;

/** Overwrites parts of the volume: in a row, at random places, with zeros, and everywhere. */
function overwriteSome(rig: Rig): void {
	const at = () => rig.random.integer(VOLUME_BYTES - 1);
	const lengthAt = (byteOffset: number, most: number) =>
		1 + rig.random.integer(Math.min(VOLUME_BYTES - byteOffset, most));
	for (let i = rig.random.integer(40); i > 0; i--) {
		const byteOffset = at();
		const lengthBytes = lengthAt(byteOffset, rig.random.pick([512, CHUNK_BYTES, 20 * CHUNK_BYTES]));
		if (rig.random.integer(5) === 0) rig.zero(byteOffset, lengthBytes);
		else rig.write(byteOffset, rig.random.bytes(lengthBytes));
		if (rig.random.integer(3) === 0) rig.liveVolume.flush();
	}
	if (rig.random.integer(5) === 0) rig.write(0, rig.random.bytes(VOLUME_BYTES));
	rig.liveVolume.flush();
}

/** A place and a length: any, whole chunks, or all. */
function somewhere(rig: Rig): [byteOffset: number, lengthBytes: number] {
	const unit = rig.random.pick([1, 512, 4096, CHUNK_BYTES]);
	const byteOffset = rig.random.integer(Math.ceil(VOLUME_BYTES / unit)) * unit;
	const most = Math.ceil((VOLUME_BYTES - byteOffset) / unit);
	const lengthBytes = unit * (1 + rig.random.integer(rig.random.pick([Math.min(most, 4), most])));
	return rig.random.integer(50) === 0
		? [0, VOLUME_BYTES]
		: [byteOffset, Math.min(lengthBytes, VOLUME_BYTES - byteOffset)];
}

/** Where reads do not give what a copy had. */
function wrongReads(rig: Rig, volume: BlockDevice, epoch: number, reads: number): string[] {
	const reader = new DiffAreaReader(rig.diffArea.share);
	const view = new ShadowView(volume, reader, epoch);
	const wrong: string[] = [];
	for (let i = 0; i < reads; i++) {
		const [byteOffset, lengthBytes] = somewhere(rig);
		const bytes = Buffer.alloc(lengthBytes, 0xee);
		view.read(byteOffset, bytes);
		const expected = rig.copies.get(epoch)!.subarray(byteOffset, byteOffset + lengthBytes);
		if (!bytes.equals(expected)) wrong.push(`copy ${epoch}: ${lengthBytes} bytes at ${byteOffset}`);
	}
	reader.close();
	return wrong;
}

for (const seed of [1, 2, 3, 4]) {
	test(`every copy reads what it had, at any place and length (seed ${seed})`, (t) => {
		const rig = new Rig(t, { seed, sizeBytes: VOLUME_BYTES, chunkSizeBytes: chunkSizeFrom(seed) });
		for (let i = 0; i < 5; i++) {
			rig.create();
			overwriteSome(rig);
			if (i === 3) rig.restart();
		}
		const volume = FileDevice.open(rig.image, 'read');
		const wrong = [...rig.copies.keys()].flatMap((epoch) => wrongReads(rig, volume, epoch, 150));
		volume.close();
		t.deepEqual(wrong, []);
	});

	test(`what is overwritten while it is read is read from the diff area (seed ${seed})`, (t) => {
		const rig = new Rig(t, { seed, sizeBytes: VOLUME_BYTES, chunkSizeBytes: chunkSizeFrom(seed) });
		rig.create();
		rig.create();
		const file = FileDevice.open(rig.image, 'read');
		let overtaken = 0;
		const volume: BlockDevice = {
			sizeBytes: file.sizeBytes,
			read(byteOffset, into) {
				if (rig.random.integer(3) === 0) {
					const skipped = rig.random.integer(into.length);
					rig.write(byteOffset + skipped, rig.random.bytes(1 + rig.random.integer(into.length - skipped)));
					rig.liveVolume.flush();
					overtaken++;
				}
				file.read(byteOffset, into);
			},
			close() {},
		};
		const wrong = [...rig.copies.keys()].flatMap((epoch) => wrongReads(rig, volume, epoch, 100));
		file.close();
		t.deepEqual(wrong, []);
		t.true(overtaken > 10);
	});

	test(`what is announced is what is read from the volume (seed ${seed})`, (t) => {
		const rig = new Rig(t, { seed, sizeBytes: VOLUME_BYTES });
		for (let i = 0; i < 3; i++) {
			rig.create();
			overwriteSome(rig);
		}
		const file = FileDevice.open(rig.image, 'read');
		const [announced, read] = [new Set<number>(), new Set<number>()];
		const note = (bytes: Set<number>, start: number, length: number) => {
			for (let at = start; at < start + length; at += 256) bytes.add(at);
		};
		const volume: BlockDevice = {
			sizeBytes: file.sizeBytes,
			read(byteOffset, into) {
				note(read, byteOffset, into.length);
				file.read(byteOffset, into);
			},
			announceRead(byteOffset, lengthBytes) {
				note(announced, byteOffset, lengthBytes);
				file.announceRead(byteOffset, lengthBytes);
			},
			close() {},
		};
		const reader = new DiffAreaReader(rig.diffArea.share);
		for (const epoch of rig.copies.keys()) {
			const view = new ShadowView(volume, reader, epoch);
			for (let i = 0; i < 50; i++) {
				const start = rig.random.integer(VOLUME_BYTES >> 8) << 8;
				const lengthBytes = 256 * (1 + rig.random.integer((VOLUME_BYTES - start) >> 8));
				view.announceRead(start, lengthBytes);
				view.read(start, Buffer.alloc(Math.min(lengthBytes, VOLUME_BYTES - start)));
				t.deepEqual(announced, read);
				announced.clear();
				read.clear();
			}
		}
		reader.close();
		for (const name of readdirSync(rig.diffArea.share.directory))
			if (name.endsWith('.segment')) rmSync(join(rig.diffArea.share.directory, name));
		const withoutSegments = new DiffAreaReader(rig.diffArea.share);
		for (const epoch of rig.copies.keys())
			t.notThrows(() => new ShadowView(volume, withoutSegments, epoch).announceRead(0, VOLUME_BYTES));
		file.close();
	});
}
