/** A diff area on a disk that is full: a file system of its own, filled to the last block. */
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { canMount } from '../helpers/requires.ts';
import { Rig, type RigOptions } from './rig.ts';

const CHUNK_BYTES = 16384;
const SIZE_BYTES = 60 * CHUNK_BYTES;
const DISK_BYTES = 12 << 20;
const BLOCK_BYTES = 4096;

const mountTest = canMount ? test : test.skip;

const runTool = (program: string, ...args: string[]) => execFileSync(program, args, { timeout: 60_000, stdio: 'pipe' });

/** A small ext4, mounted. Returns its mount point. */
function smallDisk(t: ExecutionContext): string {
	const directory = mkdtempSync(join(tmpdir(), 'noonmark-full-'));
	const [image, mountPoint] = [join(directory, 'disk.img'), join(directory, 'mnt')];
	t.teardown(() => rmSync(directory, { recursive: true, force: true }));
	mkdirSync(mountPoint);
	closeSync(openSync(image, 'w'));
	truncateSync(image, DISK_BYTES);
	runTool('mke2fs', '-q', '-F', '-t', 'ext4', '-b', String(BLOCK_BYTES), '-m', '0', '-J', 'size=4', image);
	runTool('mount', '-o', 'loop', image, mountPoint);
	t.teardown(() => runTool('umount', '--lazy', mountPoint));
	return mountPoint;
}

/** Takes every block that is left. */
function fill(mountPoint: string): void {
	const fd = openSync(join(mountPoint, 'filling'), 'a');
	for (const lengthBytes of [1 << 20, BLOCK_BYTES]) {
		for (;;) {
			try {
				writeSync(fd, Buffer.alloc(lengthBytes, 1));
				fsyncSync(fd);
			} catch {
				break;
			}
		}
	}
	closeSync(fd);
}

/** A rig whose diff area is on the disk, with three copies; beside what is kept for each, there is nothing left. */
function rigOnFullDisk(t: ExecutionContext, options: Partial<RigOptions>): { rig: Rig; mountPoint: string } {
	const mountPoint = smallDisk(t);
	const rig = new Rig(t, { seed: 1, sizeBytes: SIZE_BYTES, storage: join(mountPoint, 'storage'), ...options });
	t.teardown(() => rig.volume.close());
	createThree(rig);
	fill(mountPoint);
	return { rig, mountPoint };
}

function createThree(rig: Rig): void {
	for (let i = 0; i < 3; i++) {
		rig.create();
		rig.write(i * 5 * CHUNK_BYTES, rig.random.bytes(15 * CHUNK_BYTES));
		rig.liveVolume.flush();
	}
}

for (const epoch of [1, 2, 3]) {
	mountTest(`copy ${epoch} of 3 is deleted on a full disk, and does not come back after a crash`, (t) => {
		const { rig } = rigOnFullDisk(t, {});
		rig.delete(epoch);
		rig.write(10 * CHUNK_BYTES, rig.random.bytes(5 * CHUNK_BYTES)); // kept already for whichever are left
		rig.crash();
		t.deepEqual(rig.differences(), []);
		t.deepEqual(rig.events, []);
		while (rig.diffArea.hasToReclaim) rig.diffArea.reclaim();
		rig.restart();
		t.deepEqual(rig.differences(), []);
		t.deepEqual(rig.events, []);
	});
}

mountTest('on a full disk the oldest copies go, and that is on record', (t) => {
	const { rig, mountPoint } = rigOnFullDisk(t, {});
	for (let i = 0; i < 12; i++) {
		rig.write(rig.random.integer(40 * CHUNK_BYTES), rig.random.bytes(20 * CHUNK_BYTES));
		rig.liveVolume.flush();
		fill(mountPoint);
		rig.crash();
		t.deepEqual(rig.differences(), []);
		if (rig.copies.size > 1) continue;
		rmSync(join(mountPoint, 'filling'));
		createThree(rig);
		fill(mountPoint);
	}
	t.true(rig.events.length > 2);
	t.true(rig.events.every((event) => event.kind === 'copy-evicted' && event.reason === 'no-space'));
});

mountTest('protect-shadows: on a full disk writes fail; with room again they go on, after a restart too', (t) => {
	const { rig, mountPoint } = rigOnFullDisk(t, { policy: 'protect-shadows' });
	const bytes = rig.random.bytes(20 * CHUNK_BYTES);
	rig.liveVolume.write(35 * CHUNK_BYTES, bytes);
	t.throws(() => rig.liveVolume.flush(), { code: 'storage-full' });
	t.throws(() => rig.liveVolume.flush(), { code: 'storage-full' }, 'and again');
	rmSync(join(mountPoint, 'filling'));
	rig.liveVolume.flush();
	bytes.copy(rig.live, 35 * CHUNK_BYTES);
	t.deepEqual(rig.differences(), [], 'what was held went through');
	rig.crash();
	t.deepEqual(rig.differences(), []);
	rig.write(0, rig.random.bytes(50 * CHUNK_BYTES));
	rig.restart();
	t.deepEqual(rig.differences(), []);
	t.is(rig.events.length, 1);
	t.like(rig.events[0], { kind: 'write-refused', faultName: 'no-space' });
});
