import type { BlockDevice, WritableBlockDevice } from '../block/device.ts';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE } from '../system/libc.ts';
import { type Attributes, encodeAttrOut, type Identity, S_IFMT, S_IFREG, timesAt } from './attributes.ts';
import { ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, EROFS } from './errno.ts';
import {
	FATTR_ATIME,
	FATTR_GID,
	FATTR_MODE,
	FATTR_MTIME,
	FATTR_SIZE,
	FATTR_UID,
	FOPEN_DIRECT_IO,
	FOREVER_SEC,
	FUSE_DIRECT_IO_ALLOW_MMAP_FLAGS2,
	FUSE_FALLOCATE,
	FUSE_FSYNC,
	FUSE_GETATTR,
	FUSE_OPEN,
	FUSE_READ,
	FUSE_RELEASE,
	FUSE_SETATTR,
	FUSE_STATFS,
	FUSE_WRITE,
	fallocateIn,
	openOut,
	PAGE_BYTES,
	readIn,
	setattrIn,
	statfsOut,
	writeIn,
	writeOut,
} from './protocol.ts';
import type { Request } from './request.ts';
import type { RequestHandler } from './session.ts';

const IDENTITY: Identity = { inoHigh: 0, inoLow: 1, blockSizeBytes: PAGE_BYTES };
const PUNCH_HOLE = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
const ZERO_RANGE = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

export interface LiveFileOptions {
	/** Permission bits. */
	readonly mode: number;
	readonly modifiedAtMs: number;
}

/**
 * A file system that is one regular file: the live device, mounted over a file and loop-mounted from there, or given to
 * a virtual machine. A disk with a volatile write cache: a write that was answered has reached the store, and an fsync
 * makes it durable. It is root's, and its size never changes.
 */
export class LiveFile implements RequestHandler {
	readonly features = { flags: 0, flags2: FUSE_DIRECT_IO_ALLOW_MMAP_FLAGS2 };
	readonly #store: BlockDevice;
	readonly #writable: WritableBlockDevice | undefined;
	#attributes: Attributes;

	/** A store without `write` makes a read-only file. */
	constructor(store: BlockDevice | WritableBlockDevice, options: LiveFileOptions) {
		this.#store = store;
		this.#writable = 'write' in store ? store : undefined;
		this.#attributes = {
			mode: S_IFREG | options.mode,
			linkCount: 1,
			uid: 0,
			gid: 0,
			sizeBytes: store.sizeBytes,
			blocks512: Math.ceil(store.sizeBytes / 512),
			...timesAt(options.modifiedAtMs),
			deviceMajor: 0,
			deviceMinor: 0,
		};
	}

	handle(request: Request, reply: Buffer): number {
		switch (request.opcode) {
			case FUSE_READ:
				return this.#read(request, reply);
			case FUSE_WRITE:
				return this.#write(request, reply);
			case FUSE_FSYNC:
				this.#writable?.flush();
				return 0;
			case FUSE_FALLOCATE:
				return this.#fallocate(request);
			case FUSE_GETATTR:
				return encodeAttrOut(reply, this.#attributes, IDENTITY, FOREVER_SEC);
			case FUSE_SETATTR:
				return this.#setAttributes(request, reply);
			case FUSE_OPEN:
				return open(reply);
			case FUSE_RELEASE:
				return 0;
			case FUSE_STATFS:
				return this.#statfs(reply);
			default:
				return -ENOSYS;
		}
	}

	#read(request: Request, reply: Buffer): number {
		const byteOffset = request.get(readIn.fields.byteOffset);
		const lengthBytes = this.#clip(byteOffset, request.get(readIn.fields.lengthBytes));
		if (lengthBytes > 0) this.#store.read(byteOffset, reply.subarray(0, lengthBytes));
		return lengthBytes;
	}

	#write(request: Request, reply: Buffer): number {
		if (!this.#writable) return -EROFS;
		const byteOffset = request.get(writeIn.fields.byteOffset);
		const lengthBytes = this.#clip(byteOffset, request.get(writeIn.fields.lengthBytes));
		if (lengthBytes === 0) return -ENOSPC;
		this.#writable.write(byteOffset, request.content(writeIn.sizeBytes, lengthBytes));
		reply.fill(0, 0, writeOut.sizeBytes);
		writeOut.encode({ lengthBytes }, reply);
		return writeOut.sizeBytes;
	}

	#fallocate(request: Request): number {
		if (!this.#writable) return -EROFS;
		const mode = request.get(fallocateIn.fields.mode);
		if (mode !== PUNCH_HOLE && mode !== ZERO_RANGE) return -EOPNOTSUPP;
		const byteOffset = request.get(fallocateIn.fields.byteOffset);
		const lengthBytes = this.#clip(byteOffset, request.get(fallocateIn.fields.lengthBytes));
		if (lengthBytes > 0) this.#writable.zero(byteOffset, lengthBytes, mode === PUNCH_HOLE);
		return 0;
	}

	/** Mode and times are kept as long as the mount lives; the disk's size and owner are not the client's to change. */
	#setAttributes(request: Request, reply: Buffer): number {
		const { fields } = setattrIn;
		const valid = request.get(fields.valid);
		const before = this.#attributes;
		if (valid & FATTR_SIZE && request.get(fields.sizeBytes) !== before.sizeBytes) return -EPERM;
		if (valid & FATTR_UID && request.get(fields.uid) !== before.uid) return -EPERM;
		if (valid & FATTR_GID && request.get(fields.gid) !== before.gid) return -EPERM;
		this.#attributes = { ...before, ...changedAttributes(request, valid) };
		return encodeAttrOut(reply, this.#attributes, IDENTITY, FOREVER_SEC);
	}

	#statfs(reply: Buffer): number {
		reply.fill(0, 0, statfsOut.sizeBytes);
		statfsOut.encode(
			{
				blocks: Math.floor(this.#store.sizeBytes / PAGE_BYTES),
				files: 1,
				blockSizeBytes: PAGE_BYTES,
				fragmentSizeBytes: PAGE_BYTES,
				nameMaxBytes: 255,
			},
			reply,
		);
		return statfsOut.sizeBytes;
	}

	/** The part of a range that lies within the file. */
	#clip(byteOffset: number, lengthBytes: number): number {
		return Math.max(0, Math.min(lengthBytes, this.#store.sizeBytes - byteOffset));
	}
}

/**
 * Past the page cache of the file: the loop device or the virtual machine above has one of its own, and a second copy of
 * each page costs memory and a fifth of the random writes. Mapping the file works all the same (ALLOW_MMAP).
 */
function open(reply: Buffer): number {
	reply.fill(0, 0, openOut.sizeBytes);
	openOut.encode({ openFlags: FOPEN_DIRECT_IO }, reply);
	return openOut.sizeBytes;
}

function changedAttributes(request: Request, valid: number): Partial<Attributes> {
	const { fields } = setattrIn;
	return {
		...(valid & FATTR_MODE && { mode: S_IFREG | (request.get(fields.mode) & ~S_IFMT) }),
		...(valid & FATTR_ATIME && { atimeSec: request.get(fields.atimeSec), atimeNsec: request.get(fields.atimeNsec) }),
		...(valid & FATTR_MTIME && { mtimeSec: request.get(fields.mtimeSec), mtimeNsec: request.get(fields.mtimeNsec) }),
	};
}
