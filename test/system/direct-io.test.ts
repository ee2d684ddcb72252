import { closeSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { alignedMemory, openDirect, writeFully } from '../../src/system/direct-io.ts';
import { runOk } from '../helpers/run.ts';

const EXT4_MAGIC = 0xef53;
const CREATE = constants.O_RDWR | constants.O_CREAT;
const places = [tmpdir(), '/dev/shm'].filter(existsSync); // the latter may know no direct I/O

for (const place of places) {
	test(`aligned memory is written as it is, in ${place}`, async (t) => {
		const path = inDirectory(t.teardown, place);
		const memory = alignedMemory(3 * 65536)
			.fill('once')
			.fill('twice', 65536);
		const fd = openDirect(path, CREATE, 0o600);
		writeFully(fd, [memory.subarray(0, 4096), memory.subarray(65536, 3 * 65536), memory.subarray(4096, 65536)], 4096);
		closeSync(fd);
		const expected = [
			Buffer.alloc(4096),
			memory.subarray(0, 4096),
			memory.subarray(65536),
			memory.subarray(4096, 65536),
		];
		if (statfsSync(place).type === EXT4_MAGIC) t.is(await cachedBytes(path), 0);
		t.true(readFileSync(path).equals(Buffer.concat(expected)));
	});

	test(`what is not aligned is written through the page cache, and so is what follows, in ${place}`, (t) => {
		const path = inDirectory(t.teardown, place);
		const memory = alignedMemory(65536).fill('some words');
		const fd = openDirect(path, CREATE, 0o600);
		writeFully(fd, [memory.subarray(0, 4096)], 0);
		writeFully(fd, [memory.subarray(1, 4097), memory.subarray(4096, 8191)], 4096);
		writeFully(fd, [memory], 12287);
		closeSync(fd);
		const parts = [memory.subarray(0, 4096), memory.subarray(1, 4097), memory.subarray(4096, 8191), memory];
		t.true(readFileSync(path).equals(Buffer.concat(parts)));
	});
}

function inDirectory(teardown: (undo: () => void) => void, place: string): string {
	const directory = mkdtempSync(join(place, 'noonmark-direct-'));
	teardown(() => rmSync(directory, { recursive: true }));
	return join(directory, 'file');
}

/** What the page cache holds of a file, says util-linux. */
const cachedBytes = async (path: string) =>
	Number(await runOk('fincore', ['--bytes', '--noheadings', '--output', 'RES', path]));
