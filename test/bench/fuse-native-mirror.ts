/**
 * A thin file system on fuse-native, which shows another directory read-only: `fuse-native-mirror.js MODULE SOURCE
 * MOUNTPOINT`. Serves until it is unmounted or told to end.
 */
import * as fs from 'node:fs';
import { createRequire } from 'node:module';

type Answer = (code: number, value?: unknown) => void;

const [modulePath, source, mountPoint] = process.argv.slice(2) as [string, string, string];
const Fuse = createRequire(import.meta.url)(modulePath);

const answerWith = (answer: Answer) => (error: NodeJS.ErrnoException | null, value?: unknown) =>
	error ? answer(-Math.abs(error.errno ?? 5)) : answer(0, value);

const operations = {
	getattr: (path: string, answer: Answer) => fs.lstat(source + path, answerWith(answer)),
	readdir: (path: string, answer: Answer) => fs.readdir(source + path, answerWith(answer)),
	readlink: (path: string, answer: Answer) => fs.readlink(source + path, answerWith(answer)),
	open: (path: string, _flags: number, answer: Answer) => fs.open(source + path, 'r', answerWith(answer)),
	release: (_path: string, fd: number, answer: Answer) => fs.close(fd, answerWith(answer)),
	read: (_path: string, fd: number, into: Buffer, lengthBytes: number, byteOffset: number, answer: Answer) =>
		fs.read(fd, into, 0, lengthBytes, byteOffset, (error, count) => answer(error ? -5 : count)),
};

// Without the time limit, which costs it a tenth of its speed.
const fuse = new Fuse(mountPoint, operations, { timeout: false, options: ['ro'] });
fuse.mount((error: Error | null) => {
	if (error) throw error;
});
process.once('SIGTERM', () => process.exit());
