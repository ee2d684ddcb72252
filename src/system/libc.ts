/**
 * The calls of the C library that Node does not offer, through koffi (a prebuilt FFI: no compiler is needed).
 * Each throws a SystemError with the call's name, its subject and errno, except where it says otherwise.
 * koffi is loaded at the first call: commands that only talk to the control socket never pay for it.
 */
import { constants as fsConstants } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type koffiModule from 'koffi';

type Koffi = typeof koffiModule;

let loaded: { koffi: Koffi; libc: ReturnType<Koffi['load']> } | undefined;

function load() {
	if (!loaded) {
		const koffi = createRequire(import.meta.url)('koffi') as Koffi;
		loaded = { koffi, libc: koffi.load(null) };
	}
	return loaded;
}

/** Declares a C function and binds it at its first use. */
function bind<A extends unknown[]>(prototype: string): (...args: A) => number {
	let bound: ((...args: A) => number) | undefined;
	return (...args) => {
		bound ??= load().libc.func(prototype) as unknown as (...args: A) => number;
		return bound(...args);
	};
}

const cRead = bind<[number, Uint8Array, number]>('intptr_t read(int fd, void *buffer, size_t count)');
const cPoll = bind<[Uint8Array, number, number]>('int poll(void *fds, unsigned long count, int timeoutMs)');
const cEventfd = bind<[number, number]>('int eventfd(unsigned int initial, int flags)');
const cMount = bind<[string, string, string, number, string]>(
	'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const cUmount2 = bind<[string, number]>('int umount2(const char *target, int flags)');
const cIoctl = bind<[number, number, Uint8Array]>('int ioctl(int fd, unsigned long request, void *argument)');
const cFallocate = bind<[number, number, number, number]>(
	'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
);
const cSyncFileRange = bind<[number, number, number, number]>(
	'int sync_file_range(int fd, int64_t offset, int64_t length, unsigned int flags)',
);
const cPosixFadvise = bind<[number, number, number, number]>(
	'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
);
const cMemmove = bind<[Uint8Array | Uint32Array, Uint8Array | Uint32Array, number]>(
	'intptr_t memmove(void *to, const void *from, size_t count)',
);
const cMadvise = bind<[number, number, number]>('int madvise(intptr_t address, size_t length, int advice)');
const cGetXattr = bind<[string, string, Uint8Array, number]>(
	'intptr_t getxattr(const char *path, const char *name, void *value, size_t size)',
);
const cSetXattr = bind<[string, string, Uint8Array, number, number]>(
	'int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)',
);
const cRemoveXattr = bind<[string, string]>('int removexattr(const char *path, const char *name)');
const cFlock = bind<[number, number]>('int flock(int fd, int operation)');
const cSocketpair = bind<[number, number, number, Uint8Array]>(
	'int socketpair(int domain, int type, int protocol, void *fds)',
);
const cRecvmsg = bind<[number, unknown, number]>('intptr_t recvmsg(int fd, void *message, int flags)');
const cFcntl = bind<[number, number, number]>('int fcntl(int fd, int command, long argument)');
const cSyscall = bind<[number, number, number, number, number, number]>(
	'intptr_t syscall(long number, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e)',
);
const cPrctl = bind<[number, number, number, number, number]>(
	'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
);

/** A failed system call. `code` is errno's name (`EBUSY`), as in the errors of node:fs. */
export class SystemError extends Error {
	readonly code: string;
	readonly errno: number;

	constructor(call: string, errno: number) {
		const code = getSystemErrorName(-errno);
		super(`${call}: ${code}`);
		this.code = code;
		this.errno = errno;
	}
}

function check(call: string, result: number): number {
	if (result < 0) throw new SystemError(call, load().koffi.errno());
	return result;
}

/** read(2) without an exception for the everyday errors of a non-blocking descriptor: bytes read, or minus errno. */
export function readOrErrno(fd: number, into: Uint8Array): number {
	const result = cRead(fd, into, into.length);
	return result < 0 ? -load().koffi.errno() : Number(result);
}

/** syscall(2), for a call that the C library has no name for. Returns its result, or minus errno. */
export function systemCall(number: number, a: number, b: number, c = 0, d = 0, e = 0): number {
	const result = Number(cSyscall(number, a, b, c, d, e));
	return result < 0 ? -load().koffi.errno() : result;
}

/** Where a piece of memory is. It stays there as long as it is in use, if it is larger than 64 bytes. */
export const addressOf = (memory: Uint8Array | Uint32Array) => Number(cMemmove(memory, memory, 0)); // it returns where its argument is

const POLLIN = 0x1;

/** Waits on descriptors. The table is made once and used for every wait; entry i has its events in `revents(i)`. */
export class PollSet {
	readonly #table: Buffer;
	readonly #count: number;

	constructor(fds: readonly number[]) {
		this.#count = fds.length;
		this.#table = Buffer.alloc(8 * fds.length);
		fds.forEach((fd, i) => {
			this.#table.writeInt32LE(fd, 8 * i);
			this.#table.writeInt16LE(POLLIN, 8 * i + 4);
		});
	}

	/** Returns the number of descriptors that are ready; 0 after `timeoutMs` (-1: for ever) or a signal. */
	wait(timeoutMs: number): number {
		const result = cPoll(this.#table, this.#count, timeoutMs);
		if (result < 0 && load().koffi.errno() !== constants.errno.EINTR) check('poll', result);
		return Math.max(result, 0);
	}

	revents(index: number): number {
		return this.#table.readInt16LE(8 * index + 6);
	}
}

const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;

/** A counter to wake a poll(2): write 8 bytes (a little-endian 1) to wake, read 8 bytes to reset. */
export function eventfd(): number {
	return check('eventfd', cEventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOATIME = 1024;

export function mount(source: string, target: string, type: string, flags: number, data: string): void {
	check(`mount ${type} on ${target}`, cMount(source, target, type, flags, data));
}

export const MNT_DETACH = 2;

export function umount2(target: string, flags: number): void {
	check(`umount ${target}`, cUmount2(target, flags));
}

/** ioctl(2) whose argument is a structure in `argument`; reads and writes it in place. */
export function ioctl(fd: number, request: number, argument: Uint8Array): number {
	return check(`ioctl 0x${request.toString(16)}`, cIoctl(fd, request, argument));
}

export const FALLOC_FL_KEEP_SIZE = 0x1;
export const FALLOC_FL_PUNCH_HOLE = 0x2;
export const FALLOC_FL_ZERO_RANGE = 0x10;

export function fallocate(fd: number, mode: number, byteOffset: number, lengthBytes: number): void {
	check('fallocate', cFallocate(fd, mode, byteOffset, lengthBytes));
}

const SYNC_FILE_RANGE_WRITE = 2;

/** Lets the kernel begin to write what is dirty of a file, and waits for nothing. Only a later flush tells of errors. */
export function startWriteback(fd: number): void {
	cSyncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

const POSIX_FADV_WILLNEED = 3;

/** Lets the kernel begin to read a part of a file into the page cache, and waits for nothing. Errors are those of the read. */
export function startRead(fd: number, byteOffset: number, lengthBytes: number): void {
	cPosixFadvise(fd, byteOffset, lengthBytes, POSIX_FADV_WILLNEED);
}

const XATTR_BYTES_MAX = 65536;

/** The value of an extended attribute; undefined where the file has none of that name. */
export function getXattr(path: string, name: string): Buffer | undefined {
	const value = Buffer.alloc(XATTR_BYTES_MAX);
	const length = Number(cGetXattr(path, name, value, value.length));
	if (length >= 0) return Buffer.from(value.subarray(0, length));
	if (load().koffi.errno() === constants.errno.ENODATA) return undefined;
	throw new SystemError(`getxattr ${name} of ${path}`, load().koffi.errno());
}

export function setXattr(path: string, name: string, value: Uint8Array): void {
	check(`setxattr ${name} of ${path}`, cSetXattr(path, name, value, value.length, 0));
}

/** Where there is none, nothing happens. */
export function removeXattr(path: string, name: string): void {
	if (cRemoveXattr(path, name) < 0 && load().koffi.errno() !== constants.errno.ENODATA)
		throw new SystemError(`removexattr ${name} of ${path}`, load().koffi.errno());
}

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes the advisory lock of an open file for itself alone. False: another open file description holds it. */
export const tryLockExclusive = (fd: number) => tryLock(fd, LOCK_EX);

/** Takes the advisory lock of an open file, beside others that do so. False: somebody holds it exclusively. */
export const tryLockShared = (fd: number) => tryLock(fd, LOCK_SH);

function tryLock(fd: number, operation: number): boolean {
	if (cFlock(fd, operation | LOCK_NB) === 0) return true;
	const errno = load().koffi.errno();
	if (errno === constants.errno.EWOULDBLOCK) return false;
	throw new SystemError('flock', errno);
}

const MADV_DONTFORK = 10;
const MADV_HUGEPAGE = 14;
const PAGE_BYTES = 4096;

/**
 * A piece of memory of this size is mapped on its own by glibc, and unmapped when it is freed (the greatest value of
 * M_MMAP_THRESHOLD). Advice about a smaller one would go on to whatever gets its place.
 */
export const MAPPED_ALONE_BYTES = 32 << 20;

/**
 * Prepares a large piece of memory that is written to all over: child processes do not get it (else every page that is
 * written after a fork is copied first), and with `hugePages` pages of 2 MiB stand under it, so that touching it costs a
 * fault for each of these only. A kernel that does not do so is as good, only slower. Pieces of less than
 * MAPPED_ALONE_BYTES are left alone.
 */
export function adviseMemory(memory: Uint8Array | Uint32Array, { hugePages }: { hugePages: boolean }): void {
	if (memory.byteLength < MAPPED_ALONE_BYTES) return;
	const address = addressOf(memory);
	const start = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
	const lengthBytes = Math.floor((address + memory.byteLength - start) / PAGE_BYTES) * PAGE_BYTES;
	cMadvise(start, lengthBytes, MADV_DONTFORK);
	if (hugePages) cMadvise(start, lengthBytes, MADV_HUGEPAGE);
}

const PR_SET_IO_FLUSHER = 57;

/**
 * Tells the kernel that this thread serves block I/O, so that its own memory requests never wait for writes to be
 * flushed through itself. False where the kernel does not let us (not root, or older than 5.6).
 */
export function becomeIoFlusher(): boolean {
	return cPrctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) === 0;
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0x80000;

/** Two connected sockets. */
export function socketPair(): [number, number] {
	const fds = Buffer.alloc(8);
	check('socketpair', cSocketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	return [fds.readInt32LE(0), fds.readInt32LE(4)];
}

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_DONTWAIT = 0x40;
/** A struct cmsghdr with one descriptor, aligned to 8 bytes. */
const CONTROL_BYTES = 24;

/** Takes the open file that another process has sent over a socket, if it has: unix(7). Undefined where it has not. */
export function receiveDescriptor(socket: number): number | undefined {
	const { koffi } = load();
	const memory = koffi.alloc('uint64_t', 16);
	try {
		// struct msghdr at word 0, its one struct iovec at 7, a byte of content at 9, the control message at 10.
		const at = (word: number) => koffi.address(memory) + BigInt(8 * word);
		const words = [0n, 0n, at(7), 1n, at(10), BigInt(CONTROL_BYTES), 0n, at(9), 1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n];
		koffi.encode(memory, 'uint64_t', words, words.length);
		if (cRecvmsg(socket, memory, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0) return undefined;
		const control = koffi.decode(memory, 80, 'int32_t', 5) as ArrayLike<number>;
		const isDescriptor = control[2] === SOL_SOCKET && control[3] === SCM_RIGHTS;
		return isDescriptor ? control[4] : undefined;
	} finally {
		koffi.free(memory);
	}
}

const F_GETFL = 3;
const F_SETFL = 4;

export function setNonBlocking(fd: number): void {
	const flags = check('fcntl', cFcntl(fd, F_GETFL, 0));
	check('fcntl', cFcntl(fd, F_SETFL, flags | fsConstants.O_NONBLOCK));
}

/** Takes O_DIRECT from an open file. */
export function endDirectIo(fd: number): void {
	const flags = check('fcntl', cFcntl(fd, F_GETFL, 0));
	check('fcntl', cFcntl(fd, F_SETFL, flags & ~fsConstants.O_DIRECT));
}
