import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { FileDevice } from '../../src/block/file-device.ts';

const test = existsSync('/dev/shm') ? anyTest : anyTest.skip;

test('a range is zeroed where the file system below cannot do it itself, as one in memory', (t) => {
	const directory = mkdtempSync('/dev/shm/noonmark-test-');
	t.teardown(() => rmSync(directory, { recursive: true, force: true }));
	writeFileSync(join(directory, 'image'), Buffer.alloc(100_000, 1));
	const device = FileDevice.open(join(directory, 'image'), 'write');
	const found = Buffer.alloc(100_000);
	for (const free of [false, true]) {
		device.write(0, Buffer.alloc(100_000, 1));
		device.zero(513, 70_000, free);
		device.read(0, found);
		t.deepEqual(found, Buffer.concat([Buffer.alloc(513, 1), Buffer.alloc(70_000), Buffer.alloc(29_487, 1)]));
	}
	device.close();
});
