/**
 * The directory of a shadow copy in the root of the tree, as `ls -l` there asks for it: attributes and extended
 * attributes. It is read once, through a file system that is opened for that moment, and kept for as long as the copy
 * lives: listing hundreds of copies neither opens them again and again nor closes those that somebody reads.
 */
import { type ExtFileSystem, ROOT_INODE } from '../ext/filesystem.ts';
import type { Inode } from '../ext/inode.ts';
import { encodeAttrOut, encodeStatxOut } from './attributes.ts';
import type { Entry } from './entry.ts';
import { inoLow } from './node-id.ts';
import { FOREVER_SEC, FUSE_GETATTR, FUSE_GETXATTR, FUSE_LISTXATTR, FUSE_STATX } from './protocol.ts';
import type { Request } from './request.ts';
import { answerXattr, answerXattrNames, requestedXattr } from './xattr-reply.ts';

/** Who has more is asked through its file system. */
const XATTRS_BYTES_MAX = 1024;

/** Values by names, each byte of which is a character. */
type Xattrs = ReadonlyMap<string, Buffer>;

export class CopyRoot {
	/** What its name in the tree's root leads to. */
	readonly entry: Entry;
	readonly #inode: Inode;
	/** Undefined where they are too large to be kept, or damaged. */
	readonly #xattrs: Xattrs | undefined;

	/** Errors: those of reading the root directory's inode. */
	constructor(copyNumber: number, fs: ExtFileSystem) {
		this.#inode = fs.readInode(ROOT_INODE).copy();
		this.#xattrs = readXattrs(fs, this.#inode);
		this.entry = {
			node: { high: copyNumber, low: ROOT_INODE },
			attributes: this.#inode,
			identity: {
				inoHigh: copyNumber,
				inoLow: inoLow(copyNumber, ROOT_INODE),
				blockSizeBytes: fs.superblock.blockSizeBytes,
			},
			entryValidSec: FOREVER_SEC,
			attrValidSec: FOREVER_SEC,
		};
	}

	/** By opcode: which requests for a copy's directory need nothing else of it, and how they are answered. */
	static readonly #ANSWERS: ReadonlyMap<number, RootAnswer> = new Map<number, RootAnswer>([
		[FUSE_GETATTR, (root, _, reply) => encodeAttrOut(reply, root.#inode, root.entry.identity, FOREVER_SEC)],
		[FUSE_STATX, (root, _, reply) => root.#statx(reply)],
		[FUSE_GETXATTR, (root, request, reply) => root.#xattrs && getXattr(request, reply, root.#xattrs)],
		[FUSE_LISTXATTR, (root, request, reply) => root.#xattrs && listXattrs(request, reply, root.#xattrs)],
	]);

	/** Whether `handle` may have the answer. */
	static answers({ opcode }: Request): boolean {
		return CopyRoot.#ANSWERS.has(opcode);
	}

	/** Answers a request for this directory; undefined where that takes its file system. */
	handle(request: Request, reply: Buffer): number | undefined {
		return CopyRoot.#ANSWERS.get(request.opcode)?.(this, request, reply);
	}

	#statx(reply: Buffer): number {
		return encodeStatxOut(reply, this.#inode, this.entry.identity, this.#inode.birthtime, FOREVER_SEC);
	}
}

type RootAnswer = (root: CopyRoot, request: Request, reply: Buffer) => number | undefined;

function getXattr(request: Request, reply: Buffer, xattrs: Xattrs): number {
	return answerXattr(request, reply, xattrs.get(textOf(requestedXattr(request))));
}

const listXattrs = (request: Request, reply: Buffer, xattrs: Xattrs) =>
	answerXattrNames(request, reply, [...xattrs.keys()].map(bytesOf));

const textOf = (name: Uint8Array) => Buffer.from(name).toString('latin1');
const bytesOf = (name: string) => Buffer.from(name, 'latin1');

function readXattrs(fs: ExtFileSystem, inode: Inode): Xattrs | undefined {
	try {
		const xattrs = new Map<string, Buffer>();
		let sizeBytes = 0;
		for (const name of fs.listXattrs(inode)) {
			const value = fs.getXattr(inode, name)!;
			sizeBytes += name.length + value.length;
			if (sizeBytes > XATTRS_BYTES_MAX) return undefined;
			xattrs.set(textOf(name), value);
		}
		return xattrs;
	} catch {
		// Whoever asks for them is told what is wrong.
		return undefined;
	}
}
