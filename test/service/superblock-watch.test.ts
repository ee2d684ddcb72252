import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { FileDevice } from '../../src/block/file-device.ts';
import { superblockState, WatchedVolume } from '../../src/service/superblock-watch.ts';
import { programs } from '../helpers/requires.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = programs('mke2fs') ? anyTest : anyTest.skip;

const MOUNT_COUNT_AT = 1024 + 0x34;
const FREE_BLOCKS_AT = 1024 + 0x0c;

test('what the superblock says is announced before it is written, and only where it says something else', (t) => {
	const image = join(temporaryDirectory(t), 'disk.img');
	writeFileSync(image, '');
	truncateSync(image, 8 << 20);
	execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', image], { timeout: 30_000 });
	const device = FileDevice.open(image, 'write');
	const announced: { states: readonly string[]; countOnDisk: number }[] = [];
	const watched = new WatchedVolume(device, (states) => {
		announced.push({ states, countOnDisk: readFileSync(image).readUInt16LE(MOUNT_COUNT_AT) });
	});
	const before = superblockState(device);
	t.regex(before, /^at rest \(1\), mount 0 at /);
	watched.write(FREE_BLOCKS_AT, Buffer.from([1, 2, 3, 4]));
	watched.write(4096, Buffer.alloc(4096, 7));
	watched.write(0, readFileSync(image).subarray(0, 8192));
	t.deepEqual(announced, [], 'nothing that tells of a mount, a write or a check');
	watched.write(MOUNT_COUNT_AT, Buffer.from([7, 0]));
	const after = superblockState(device);
	t.deepEqual(announced, [{ states: [before, after], countOnDisk: 0 }]);
	t.is(after, before.replace('mount 0', 'mount 7'));
	watched.zero(0, 4096, false);
	t.deepEqual(announced[1], { states: [after, 'none'], countOnDisk: 7 });
	t.is(superblockState(device), 'none');
	device.close();
});
