/**
 * A manifest of a directory tree: all that a program can see of it, so that comparing two trees is one `deepEqual`.
 * One side is read by Python's `os` module in a child process (from the kernel's driver, or from a mount of ours), the
 * other through ExtFileSystem.
 */
import { createHash } from 'node:crypto';
import { NoonmarkError } from '../../src/errors.ts';
import { type ExtFileSystem, ROOT_INODE } from '../../src/ext/filesystem.ts';
import type { Inode } from '../../src/ext/inode.ts';
import { type RunOptions, runOk } from './run.ts';

export interface TreeEntry {
	/** Bytes as Latin-1. The root is ".". */
	readonly path: string;
	readonly inode: number;
	/** Octal; or, where the directory lists what is not there, the name of the error, and nothing else is known. */
	readonly mode: string;
	readonly links: number;
	readonly owner: string;
	readonly sizeBytes: number;
	readonly blocks512: number;
	/** Seconds and nanoseconds. */
	readonly times: { readonly atime: string; readonly mtime: string; readonly ctime: string };
	readonly device: string;
	/** Values in hexadecimal, or the name of the error. */
	readonly xattrs: Readonly<Record<string, string>> | string;
	readonly target?: string;
	/** Of regular files: [start, end) of what SEEK_DATA and SEEK_HOLE call data, and what is there. */
	readonly data?: readonly (readonly [number, number])[];
	/** Of the data ranges, and of all bytes where the file is not large. */
	readonly sha256?: string;
}

const WHOLE_BYTES = 16 << 20;

const READ_TREE = `
import hashlib, json, os, stat, sys, errno
WHOLE = ${WHOLE_BYTES}
DATA_MAX = 1 << 28
def text(raw): return raw.decode('latin1')
def error(e): return 'error ' + errno.errorcode[e.errno]
def time(ns): return '%d.%09d' % (ns // 10**9, ns % 10**9)
def xattrs(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {text(os.fsencode(n)): os.getxattr(path, n, follow_symlinks=False).hex() for n in names}
    except OSError as e: return error(e)
def update(fd, at, end, digests):
    while at < end:
        part = os.pread(fd, min(1 << 20, end - at), at)
        if not part: break
        for d in digests: d.update(part)
        at += len(part)
def content(path, size):
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    try:
        # What the device has, not what is still cached of it.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        ranges, at, digest = [], 0, hashlib.sha256()
        while at < size:
            try: start = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                if e.errno != errno.ENXIO: raise
                break
            end = os.lseek(fd, start, os.SEEK_HOLE)
            ranges.append([start, end])
            at = end
        # More, and somebody takes holes for data.
        if sum(end - start for start, end in ranges) <= DATA_MAX:
            for start, end in ranges: update(fd, start, end, [digest])
        if size <= WHOLE: update(fd, 0, size, [digest])
        return {'data': ranges, 'sha256': digest.hexdigest()}
    except OSError as e: return {'data': [], 'sha256': error(e)}
    finally: os.close(fd)
def entry(path, shown):
    try: s = os.lstat(path)
    except OSError as x:
        print(json.dumps({'path': text(shown), 'mode': error(x)}))
        return
    e = {'path': text(shown), 'inode': s.st_ino, 'mode': oct(s.st_mode)[2:], 'links': s.st_nlink,
         'owner': '%d:%d' % (s.st_uid, s.st_gid), 'sizeBytes': s.st_size, 'blocks512': s.st_blocks,
         'times': {'atime': time(s.st_atime_ns), 'mtime': time(s.st_mtime_ns), 'ctime': time(s.st_ctime_ns)},
         'device': '%d:%d' % (os.major(s.st_rdev), os.minor(s.st_rdev)), 'xattrs': xattrs(path)}
    if stat.S_ISLNK(s.st_mode):
        try: e['target'] = text(os.readlink(path))
        except OSError as x: e['target'] = error(x)
    if stat.S_ISREG(s.st_mode):
        try: e.update(content(path, s.st_size))
        except OSError as x: e.update({'data': [], 'sha256': error(x)})
    print(json.dumps(e))
    if stat.S_ISDIR(s.st_mode):
        for name in sorted(os.listdir(path)):
            entry(path + b'/' + name, name if shown == b'.' else shown + b'/' + name)
sys.setrecursionlimit(100000)
entry(os.fsencode(sys.argv[1]), b'.')
`;

/** The manifest of a mounted tree, in the order of paths. */
export async function treeOfDirectory(directory: string, options?: RunOptions): Promise<TreeEntry[]> {
	const output = await runOk('python3', ['-c', READ_TREE, directory], options);
	const lines = output.toString('latin1').trim().split('\n');
	return sorted(lines.map((line) => JSON.parse(line) as TreeEntry));
}

/** statfs(2) of a mounted tree, in the form of ExtFileSystem.statfs. */
export async function statfsOfDirectory(mountPoint: string) {
	const output = await runOk('stat', ['-f', '-c', '%S %b %f %a %c %d', mountPoint]);
	const [blockSizeBytes, blocks, freeBlocks, availableBlocks, files, freeFiles] = output
		.toString()
		.split(' ')
		.map(Number);
	return { blockSizeBytes, blocks, freeBlocks, availableBlocks, files, freeFiles, nameMaxBytes: 255 };
}

/** st_ino is ours to choose, as long as it is one-to-one: every number becomes the position of its first path. */
export function renumbered(tree: readonly TreeEntry[]): TreeEntry[] {
	const first = new Map<number, number>();
	return tree.map((entry, index) => {
		if (!first.has(entry.inode)) first.set(entry.inode, index);
		return { ...entry, inode: first.get(entry.inode)! };
	});
}

const DIFFERENCES_MAX = 20;

/** What `deepEqual` would say of two large trees, in time and in few words: the first entries that are not the same. */
export function treeDifferences(actual: readonly TreeEntry[], expected: readonly TreeEntry[]): string[] {
	const texts = (tree: readonly TreeEntry[]) => new Map(tree.map((entry) => [entry.path, JSON.stringify(entry)]));
	const [there, wanted] = [texts(actual), texts(expected)];
	const differences: string[] = [];
	for (const path of new Set([...wanted.keys(), ...there.keys()])) {
		if (there.get(path) === wanted.get(path)) continue;
		differences.push(`is ${there.get(path) ?? 'missing'}, should be ${wanted.get(path) ?? 'missing'}`);
		if (differences.length === DIFFERENCES_MAX) break;
	}
	return differences;
}

/** The same manifest through Noonmark's reader. */
export function treeOfFileSystem(fs: ExtFileSystem): TreeEntry[] {
	const entries: TreeEntry[] = [];
	const walk = (inodeNumber: number, path: string) => {
		const inode = fs.readInode(inodeNumber);
		entries.push(describe(fs, inode, path));
		if (typeOf(inode) !== 'directory') return;
		for (const [name, child] of listDirectory(fs, inode)) {
			if (name !== '.' && name !== '..') walk(child, path === '.' ? name : `${path}/${name}`);
		}
	};
	walk(ROOT_INODE, '.');
	return sorted(entries);
}

export function listDirectory(fs: ExtFileSystem, directory: Inode): [name: string, inodeNumber: number][] {
	const found: [string, number][] = [];
	fs.readDirectory(directory, 0, (name, inodeNumber) => {
		found.push([Buffer.from(name).toString('latin1'), inodeNumber]);
		return true;
	});
	return found;
}

/** Follows a path of Latin-1 names from the root; symbolic links are not followed. */
export function inodeAt(fs: ExtFileSystem, path: string): Inode {
	let inode = fs.readInode(ROOT_INODE);
	for (const name of path.split('/').filter((part) => part !== '' && part !== '.')) {
		const next = fs.lookup(inode, Buffer.from(name, 'latin1'));
		if (next === undefined) throw new Error(`${path}: no ${name}`);
		inode = fs.readInode(next);
	}
	return inode;
}

export function contentOf(fs: ExtFileSystem, file: Inode): Buffer {
	const content = Buffer.alloc(file.sizeBytes);
	fs.readFile(file, 0, content);
	return content;
}

function describe(fs: ExtFileSystem, inode: Inode, path: string): TreeEntry {
	const type = typeOf(inode);
	const time = (sec: number, nsec: number) => `${sec}.${String(nsec).padStart(9, '0')}`;
	return {
		path,
		inode: inode.number,
		mode: inode.mode.toString(8),
		links: inode.linkCount,
		owner: `${inode.uid}:${inode.gid}`,
		sizeBytes: inode.sizeBytes,
		blocks512: inode.blocks512,
		times: {
			atime: time(inode.atimeSec, inode.atimeNsec),
			mtime: time(inode.mtimeSec, inode.mtimeNsec),
			ctime: time(inode.ctimeSec, inode.ctimeNsec),
		},
		device: `${inode.deviceMajor}:${inode.deviceMinor}`,
		xattrs: orError(() => readXattrs(fs, inode)),
		...(type === 'symlink' ? { target: orError(() => fs.readLink(inode).toString('latin1')) } : {}),
		...(type === 'regular' ? describeContent(fs, inode) : {}),
	};
}

function readXattrs(fs: ExtFileSystem, inode: Inode): Record<string, string> {
	const names = fs.listXattrs(inode);
	return Object.fromEntries(
		names.map((name) => [name.toString('latin1'), fs.getXattr(inode, name)?.toString('hex') ?? 'error ENODATA']),
	);
}

function describeContent(fs: ExtFileSystem, file: Inode): { data: [number, number][]; sha256: string } {
	try {
		const digest = createHash('sha256');
		const part = Buffer.alloc(1 << 20);
		const update = (start: number, end: number) => {
			for (let at = start; at < end; ) {
				const count = fs.readFile(file, at, part.subarray(0, Math.min(part.length, end - at)));
				digest.update(part.subarray(0, count));
				at += count;
			}
		};
		// An empty file too is opened by the other side, and may be refused.
		fs.readFile(file, 0, part.subarray(0, 0));
		const data = dataRanges(fs, file);
		for (const [start, end] of data) update(start, end);
		if (file.sizeBytes <= WHOLE_BYTES) update(0, file.sizeBytes);
		return { data, sha256: digest.digest('hex') };
	} catch (error) {
		return { data: [], sha256: errorName(error) };
	}
}

function dataRanges(fs: ExtFileSystem, file: Inode): [number, number][] {
	const ranges: [number, number][] = [];
	for (let at = 0; at < file.sizeBytes; ) {
		const start = fs.seek(file, at, 'data');
		if (start === undefined) break;
		const end = fs.seek(file, start, 'hole')!;
		ranges.push([start, end]);
		at = end;
	}
	return ranges;
}

function orError<T>(action: () => T): T | string {
	try {
		return action();
	} catch (error) {
		return errorName(error);
	}
}

/** What a program would get through a mount. */
function errorName(error: unknown): string {
	if (!(error instanceof NoonmarkError)) throw error;
	if (error.code === 'encrypted') return 'error ENOKEY';
	return `error ${error.family}: ${error.message}`;
}

function typeOf(inode: Inode): 'directory' | 'symlink' | 'regular' | 'other' {
	const type = inode.mode & 0o170000;
	return type === 0o040000 ? 'directory' : type === 0o120000 ? 'symlink' : type === 0o100000 ? 'regular' : 'other';
}

function sorted(entries: TreeEntry[]): TreeEntry[] {
	return entries.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}
