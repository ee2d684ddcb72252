import { execFileSync } from 'node:child_process';
import {
	closeSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readFileSync,
	renameSync,
	rmSync,
	truncateSync,
	writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { FileDevice } from '../../src/block/file-device.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = existsSync('/dev/shm') ? anyTest : anyTest.skip;
const deviceTest = existsSync('/dev/shm') && canMount && programs('losetup') ? anyTest : anyTest.skip;

const runTool = (program: string, ...args: string[]) =>
	execFileSync(program, args, { timeout: 30_000, encoding: 'utf8' }).trim();

/** Where no disk is waited for. */
function memoryDirectory(t: ExecutionContext): string {
	const directory = mkdtempSync('/dev/shm/noonmark-test-');
	t.teardown(() => rmSync(directory, { recursive: true, force: true }));
	return directory;
}

/** A block device over a file of 1 MiB. */
function loopDevice(t: ExecutionContext, file: string): string {
	const path = runTool('losetup', '--find', '--show', file);
	t.teardown(() => runTool('losetup', '--detach', path));
	return path;
}

test('a range is zeroed where the file system below cannot do it itself, as one in memory', (t) => {
	const directory = memoryDirectory(t);
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

test('preparing a flush changes nothing that is read, and the flush goes through', (t) => {
	const directory = memoryDirectory(t);
	writeFileSync(join(directory, 'image'), Buffer.alloc(1 << 20, 1));
	const device = FileDevice.open(join(directory, 'image'), 'write');
	const bytes = Buffer.alloc(65536, 2);
	device.prepareFlush();
	device.write(131072, bytes);
	device.prepareFlush();
	device.prepareFlush();
	device.flush();
	const found = readFileSync(join(directory, 'image'));
	t.true(found.equals(Buffer.concat([Buffer.alloc(131072, 1), bytes, Buffer.alloc((1 << 20) - 196608, 1)])));
	device.close();
});

deviceTest('the disk begins with every eighth small write, and with fewer where a flush is prepared', async (t) => {
	const image = join(memoryDirectory(t), 'image');
	writeFileSync(image, Buffer.alloc(1 << 22));
	const path = loopDevice(t, image);
	const device = FileDevice.open(path, 'write');
	t.teardown(() => device.close());
	/** From Linux's Documentation/block/stat.rst: the seventh number. By itself the kernel begins after 30 s. */
	const begunPages = () =>
		Number(
			readFileSync(`/sys/block/${basename(path)}/stat`, 'utf8')
				.trim()
				.split(/\s+/)[6],
		) / 8;
	const start = begunPages();
	const isBegun = async (pages: number) => {
		for (let i = 0; i < 1000 && begunPages() < start + pages; i++) await setTimeout(10);
		return begunPages() >= start + pages;
	};
	const write = (page: number) => device.write(4096 * page, Buffer.alloc(4096, 5));
	for (let i = 0; i < 8; i++) write(2 * i);
	t.true(await isBegun(8));
	write(16);
	device.prepareFlush();
	t.true(await isBegun(9));
});

deviceTest('what fails when a flush is prepared is told by the flush', async (t) => {
	const mountPoint = join(temporaryDirectory(t), 'full');
	mkdirSync(mountPoint);
	runTool('mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', mountPoint);
	t.teardown(() => runTool('umount', '--lazy', mountPoint));
	writeFileSync(join(mountPoint, 'filling'), Buffer.alloc(65536, 1));
	writeFileSync(join(mountPoint, 'image'), '');
	truncateSync(join(mountPoint, 'image'), 1 << 20);
	const path = loopDevice(t, join(mountPoint, 'image'));
	const device = FileDevice.open(path, 'write');
	device.write(0, Buffer.alloc(262144, 3));
	t.notThrows(() => device.prepareFlush());
	t.throws(() => device.flush(), { code: 'flush-failed', message: /fdatasync/ });
	device.close();
	t.notThrows(() => device.prepareFlush(), 'nor where there is nothing to write to');
});

test('what is opened through a device is its file, whatever has its name by now; messages have the name', (t) => {
	const directory = memoryDirectory(t);
	const [path, other, moved] = ['image', 'other', 'moved'].map((name) => join(directory, name)) as [
		string,
		string,
		string,
	];
	writeFileSync(path, 'the image');
	writeFileSync(other, 'another file');
	const device = FileDevice.open(path, 'read');
	renameSync(path, moved);
	renameSync(other, path);
	const again = FileDevice.open(device.steadyPath, 'write');
	t.is(again.sizeBytes, 9);
	t.is(again.path, moved);
	again.close();
	device.close();

	const fd = openSync(directory, 'r');
	t.throws(() => FileDevice.open(`/proc/self/fd/${fd}`, 'write'), {
		code: 'open-failed',
		message: `${directory}: cannot be opened: EISDIR: illegal operation on a directory, open '${directory}'`,
	});
	closeSync(fd);
});
