import type { BlockDevice } from '../../../src/block/device.ts';
import { LineCache } from '../../../src/block/line-cache.ts';
import { NoonmarkError } from '../../../src/errors.ts';
import { ExtFileSystem, ROOT_INODE } from '../../../src/ext/filesystem.ts';
import { type Inode, isDirectory, isRegular } from '../../../src/ext/inode.ts';
import { inspectFileSystem } from '../../../src/ext/inspect.ts';
import { S_IFLNK, S_IFMT } from '../../../src/ext/layout.ts';
import { usedRanges } from '../../../src/ext/used-map.ts';

const MAX_VISITED = 3000;
const MAX_READ_BYTES = 256 * 1024;

type Attempt = <T>(action: () => T) => T | undefined;

/** Reads what can be read; returns the codes of the errors. Anything but a NoonmarkError comes out. */
export function readEverything(device: BlockDevice): Set<string> {
	const codes = new Set<string>();
	const attempt: Attempt = (action) => {
		try {
			return action();
		} catch (error) {
			if (!(error instanceof NoonmarkError)) throw error;
			codes.add(`${error.family}/${error.code}`);
			return undefined;
		}
	};
	attempt(() => inspectFileSystem(device, { inodeNumber: ROOT_INODE }));
	const fs = attempt(() => ExtFileSystem.open(device, { cache: new LineCache(4 << 20) }));
	if (!fs) return codes;
	attempt(() => fs.statfs());
	attempt(() => usedRanges(fs, () => {}));
	const seen = new Set<number>();
	const queue = [ROOT_INODE];
	for (let number = queue.pop(); number !== undefined && seen.size < MAX_VISITED; number = queue.pop()) {
		if (seen.has(number)) continue;
		seen.add(number);
		const inode = attempt(() => fs.readInode(number!));
		if (inode) readInodeFully(fs, inode, attempt, queue);
	}
	return codes;
}

function readInodeFully(fs: ExtFileSystem, inode: Inode, attempt: Attempt, queue: number[]): void {
	for (const name of attempt(() => fs.listXattrs(inode)) ?? []) attempt(() => fs.getXattr(inode, name));
	if ((inode.mode & S_IFMT) === S_IFLNK) attempt(() => fs.readLink(inode));
	if (isRegular(inode)) readContent(fs, inode, attempt);
	if (!isDirectory(inode)) return;
	let last = Buffer.from('nothing');
	attempt(() =>
		fs.readDirectory(inode, 0, (name, child) => {
			if (queue.length < MAX_VISITED) queue.push(child);
			last = Buffer.from(name);
			return true;
		}),
	);
	for (const name of [last, Buffer.from('no such name'), Buffer.from('N\u00f6 such name')]) {
		attempt(() => fs.lookup(inode, name));
	}
}

function readContent(fs: ExtFileSystem, file: Inode, attempt: Attempt): void {
	const into = Buffer.alloc(Math.min(file.sizeBytes, MAX_READ_BYTES));
	attempt(() => fs.readFile(file, 0, into));
	attempt(() => fs.readFile(file, Math.max(0, file.sizeBytes - 5000), into.subarray(0, 5000)));
	attempt(() => fs.seek(file, 0, 'hole'));
	attempt(() => fs.seek(file, Math.floor(file.sizeBytes / 2), 'data'));
}
