/** Old content that a disk has changed is never handed out. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import type { NoonmarkError } from '../../src/errors.ts';
import { chunkSizeFrom } from '../torture/workload.ts';
import { Rig } from './rig.ts';

/** Reads of all sizes in every copy; what was wrong, and how many said so instead. */
function readAll(rig: Rig): { wrong: string[]; refusedCount: number } {
	const reader = new DiffAreaReader(rig.diffArea.share);
	const volume = FileDevice.open(rig.image, 'read');
	const wrong: string[] = [];
	let refusedCount = 0;
	for (const [epoch, expected] of rig.copies) {
		const view = new ShadowView(volume, reader, epoch);
		for (let i = 0; i < 400; i++) {
			const at = rig.random.integer(expected.length);
			const bytes = Buffer.alloc(
				1 + rig.random.integer(Math.min(expected.length - at, rig.random.pick([4096, 50_000]))),
			);
			try {
				view.read(at, bytes);
				if (!bytes.equals(expected.subarray(at, at + bytes.length))) wrong.push(`copy ${epoch} at ${at}`);
			} catch (error) {
				if ((error as NoonmarkError).code !== 'chunk-damaged') throw error;
				refusedCount++;
			}
		}
	}
	volume.close();
	reader.close();
	return { wrong, refusedCount };
}

for (const seed of [1, 2, 3]) {
	test(`flipped bits are told, also after a restart; the rest is exact (seed ${seed})`, (t) => {
		const rig = new Rig(t, { seed, sizeBytes: 900_000, chunkSizeBytes: chunkSizeFrom(seed) });
		for (let i = 0; i < 3; i++) {
			rig.create();
			for (let j = 0; j < 5; j++) {
				rig.write(rig.random.integer(800_000), rig.random.bytes(1 + rig.random.integer(60_000)));
				if (j % 2 === 0) rig.zero(rig.random.integer(800_000), 20_000);
				rig.liveVolume.flush();
			}
		}
		t.deepEqual(readAll(rig), { wrong: [], refusedCount: 0 });
		const path = join(`${rig.image}.noonmark`, `epoch-0000000${seed}.segment`);
		const bytes = readFileSync(path);
		for (let i = 0; i < 3; i++) bytes[8192 + rig.random.integer(bytes.length - 8192)]! ^= 1;
		writeFileSync(path, bytes);
		const running = readAll(rig);
		t.deepEqual(running.wrong, []);
		t.true(running.refusedCount > 0);
		rig.restart();
		t.deepEqual(readAll(rig).wrong, []);
	});
}
