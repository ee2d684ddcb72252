/**
 * Stands between the program and its files: every call of node:fs, and fallocate(2), that changes, reads or flushes what
 * lies below one directory goes through an *interposer*, which may record it, do it in part, or fail it. The program
 * under test is not changed; nothing else in the process is touched while no interposer is set.
 */
import fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { resolve, sep } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { FALLOC_FL_KEEP_SIZE } from '../../src/system/libc.ts';

export type FileCall =
	| { readonly kind: 'open'; readonly path: string; readonly flags: number }
	| { readonly kind: 'read'; readonly path: string }
	| { readonly kind: 'write'; readonly path: string; readonly fd: number; readonly at: number; readonly bytes: Buffer }
	| { readonly kind: 'truncate'; readonly path: string; readonly fd: number; readonly lengthBytes: number }
	/** A hole, or a range that reads as zeros; the size stays. */
	| {
			readonly kind: 'zero';
			readonly path: string;
			readonly fd: number;
			readonly at: number;
			readonly lengthBytes: number;
	  }
	/** Room for content that is to come; nothing that is read changes. */
	| { readonly kind: 'reserve'; readonly path: string; readonly fd: number; readonly lengthBytes: number }
	| { readonly kind: 'sync'; readonly path: string; readonly fd: number; readonly dataOnly: boolean }
	| { readonly kind: 'syncDirectory'; readonly path: string }
	| { readonly kind: 'rename'; readonly path: string; readonly to: string }
	| { readonly kind: 'unlink'; readonly path: string }
	| { readonly kind: 'mkdir'; readonly path: string };

/** Returns what `perform` returns, or throws as the system would. */
export type Interposer = <T>(call: FileCall, perform: () => T) => T;

interface OpenFile {
	readonly path: string;
	readonly isDirectory: boolean;
	/** Where a write without a position goes. */
	position: number;
}

/** The functions as Node made them, for interposers. */
export const real = { ...fs };

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_EXCL, O_APPEND, O_DIRECT } = fs.constants;
const FLAGS: Record<string, number> = {
	r: O_RDONLY,
	'r+': O_RDWR,
	w: O_WRONLY | O_CREAT | O_TRUNC,
	wx: O_WRONLY | O_CREAT | O_TRUNC | O_EXCL,
	'w+': O_RDWR | O_CREAT | O_TRUNC,
	a: O_WRONLY | O_CREAT | O_APPEND,
};

const openFiles = new Map<number, OpenFile>();
let active: { readonly directory: string; readonly interpose: Interposer } | undefined;
let isPerforming = false;

/** Sets the interposer of everything below a directory, in place of the one before; `undefined`: none. */
export function interpose(directory: string, interposer: Interposer | undefined): void {
	active = interposer && { directory: resolve(directory), interpose: interposer };
}

/** Closes what is still open below the directory, as the end of a process does: nothing is flushed. */
export function closeAll(): void {
	for (const fd of openFiles.keys()) real.closeSync(fd);
	openFiles.clear();
}

function isWatched(path: unknown): path is string {
	if (!active || isPerforming || typeof path !== 'string') return false;
	const absolute = resolve(path);
	return absolute === active.directory || absolute.startsWith(active.directory + sep);
}

const watchedFile = (fd: unknown): OpenFile | undefined =>
	active && !isPerforming ? openFiles.get(fd as number) : undefined;

function around<T>(call: FileCall, action: () => T): T {
	return active!.interpose(call, () => {
		isPerforming = true;
		try {
			return action();
		} finally {
			isPerforming = false;
		}
	});
}

function writeAt(fd: number, file: OpenFile, bytes: Buffer, position: number | null | undefined): number {
	const at = position ?? file.position;
	const written = around({ kind: 'write', path: file.path, fd, at, bytes }, () => {
		for (let done = 0; done < bytes.length; ) done += real.writeSync(fd, bytes, done, bytes.length - done, at + done);
		return bytes.length;
	});
	if (typeof position !== 'number') file.position = at + written;
	return written;
}

const copyOf = (view: NodeJS.ArrayBufferView) =>
	Buffer.from(Buffer.from(view.buffer, view.byteOffset, view.byteLength));

const replacements = {
	openSync(path: string, flags: string | number = 'r', mode?: number): number {
		if (!isWatched(path)) return real.openSync(path, flags, mode);
		const numeric = typeof flags === 'string' ? FLAGS[flags]! : flags;
		// What is written here is a copy, whose memory is not aligned for direct I/O.
		const fd = around({ kind: 'open', path: resolve(path), flags: numeric }, () =>
			real.openSync(path, numeric & ~O_DIRECT, mode),
		);
		openFiles.set(fd, { path: resolve(path), isDirectory: real.fstatSync(fd).isDirectory(), position: 0 });
		return fd;
	},
	closeSync(fd: number): void {
		openFiles.delete(fd);
		real.closeSync(fd);
	},
	readSync(fd: number, ...rest: unknown[]): number {
		const file = watchedFile(fd);
		const action = () => (real.readSync as (...args: unknown[]) => number)(fd, ...rest);
		return file ? around({ kind: 'read', path: file.path }, action) : action();
	},
	readvSync(fd: number, buffers: readonly NodeJS.ArrayBufferView[], position?: number | null): number {
		const file = watchedFile(fd);
		const action = () => real.readvSync(fd, buffers, position ?? undefined);
		return file ? around({ kind: 'read', path: file.path }, action) : action();
	},
	readFileSync(path: fs.PathOrFileDescriptor, options?: never): unknown {
		if (!isWatched(path)) return real.readFileSync(path, options);
		return around({ kind: 'read', path: resolve(path) }, () => real.readFileSync(path, options));
	},
	writeSync(fd: number, data: NodeJS.ArrayBufferView | string, ...rest: (number | null | undefined)[]): number {
		const file = watchedFile(fd);
		if (!file) return (real.writeSync as (...args: unknown[]) => number)(fd, data, ...rest);
		if (typeof data === 'string') return writeAt(fd, file, Buffer.from(data), rest[0]);
		const [offset, length, position] = rest;
		const whole = copyOf(data);
		const start = offset ?? 0;
		return writeAt(fd, file, whole.subarray(start, start + (length ?? whole.length - start)), position);
	},
	writevSync(fd: number, buffers: readonly NodeJS.ArrayBufferView[], position?: number | null): number {
		const file = watchedFile(fd);
		if (!file) return real.writevSync(fd, buffers, position ?? undefined);
		return writeAt(fd, file, Buffer.concat(buffers.map(copyOf)), position);
	},
	writeFileSync(target: string | number, data: NodeJS.ArrayBufferView | string, options?: fs.WriteFileOptions): void {
		if (typeof target === 'number' ? watchedFile(target) : isWatched(target)) writeWhole(target, data, options);
		else real.writeFileSync(target, data, options);
	},
	fsyncSync: (fd: number) => synced(fd, false, real.fsyncSync),
	fdatasyncSync: (fd: number) => synced(fd, true, real.fdatasyncSync),
	ftruncateSync(fd: number, lengthBytes = 0) {
		const file = watchedFile(fd);
		const action = () => real.ftruncateSync(fd, lengthBytes);
		return file ? around({ kind: 'truncate', path: file.path, fd, lengthBytes }, action) : action();
	},
	renameSync(from: string, to: string) {
		const action = () => real.renameSync(from, to);
		return isWatched(from) ? around({ kind: 'rename', path: resolve(from), to: resolve(to) }, action) : action();
	},
	unlinkSync(path: string) {
		const action = () => real.unlinkSync(path);
		return isWatched(path) ? around({ kind: 'unlink', path: resolve(path) }, action) : action();
	},
	mkdirSync(path: string, options?: fs.MakeDirectoryOptions): string | undefined {
		const action = () => real.mkdirSync(path, options);
		return isWatched(path) ? around({ kind: 'mkdir', path: resolve(path) }, action) : action();
	},
};

function writeWhole(
	target: string | number,
	data: NodeJS.ArrayBufferView | string,
	options: fs.WriteFileOptions | undefined,
): void {
	const { flag, mode } = typeof options === 'object' && options ? options : {};
	const fd = typeof target === 'number' ? target : replacements.openSync(target, flag ?? 'w', Number(mode ?? 0o666));
	try {
		replacements.writeSync(fd, typeof data === 'string' ? Buffer.from(data) : data);
	} finally {
		if (typeof target !== 'number') replacements.closeSync(fd);
	}
}

function synced(fd: number, dataOnly: boolean, sync: (fd: number) => void): void {
	const file = watchedFile(fd);
	const action = () => sync(fd);
	if (!file) action();
	else if (file.isDirectory) around({ kind: 'syncDirectory', path: file.path }, action);
	else around({ kind: 'sync', path: file.path, fd, dataOnly }, action);
}

type Native = (...args: never[]) => number;
type Fallocate = (fd: number, mode: number, at: number, lengthBytes: number) => number;

/** fallocate(2) as koffi binds it: minus one for failure, and errno set. An interposer sees an exception instead. */
function watchedFallocate(native: Fallocate, errno: (value?: number) => number): Fallocate {
	return (fd, mode, at, lengthBytes) => {
		const file = watchedFile(fd);
		if (!file) return native(fd, mode, at, lengthBytes);
		const action = () => {
			if (native(fd, mode, at, lengthBytes) < 0) throw systemError('fallocate', errno());
			return 0;
		};
		try {
			const isReserve = mode === FALLOC_FL_KEEP_SIZE;
			return around({ kind: isReserve ? 'reserve' : 'zero', path: file.path, fd, at, lengthBytes }, action);
		} catch (error) {
			errno((error as NodeJS.ErrnoException).errno!);
			return -1;
		}
	};
}

/** An exception as node:fs throws it; here `errno` is positive. */
export function systemError(call: string, errno: number): NodeJS.ErrnoException {
	const code = getSystemErrorName(-errno);
	return Object.assign(new Error(`${code}: ${call}`), { code, errno, syscall: call });
}

function install(): void {
	Object.assign(fs, replacements);
	syncBuiltinESMExports();
	const koffi = createRequire(import.meta.url)('koffi') as {
		load: (path: string | null) => { func: (prototype: string) => Native };
		errno: (value?: number) => number;
	};
	const { load } = koffi;
	koffi.load = (path) => {
		const library = load(path);
		return {
			func: (prototype) => {
				const native = library.func(prototype);
				return prototype.includes(' fallocate(')
					? (watchedFallocate(native as Fallocate, koffi.errno) as Native)
					: native;
			},
		};
	};
}

install();
