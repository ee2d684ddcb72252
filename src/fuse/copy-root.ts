/**
 * The directory of a shadow copy in the root of the tree, as `ls -l` there asks for it: attributes and extended
 * attributes. It is read once, through a file system that is opened for that moment, and kept for as long as the copy
 * lives: listing hundreds of copies neither opens them again and again nor closes those that somebody reads.
 */
import { type ExtFileSystem, ROOT_INODE } from '../ext/filesystem.ts';
import type { Inode } from '../ext/inode.ts';
import { encodeAttrOut, encodeStatxOut } from './attributes.ts';
import type { Entry } from './entry.ts';
import { ENODATA } from './errno.ts';
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

	/** Answers a request for this directory; undefined where that takes its file system. */
	handle(request: Request, reply: Buffer): number | undefined {
		const { identity } = this.entry;
		switch (request.opcode) {
			case FUSE_GETATTR:
				return encodeAttrOut(reply, this.#inode, identity, FOREVER_SEC);
			case FUSE_STATX:
				return encodeStatxOut(reply, this.#inode, identity, this.#inode.birthtime, FOREVER_SEC);
			case FUSE_GETXATTR:
				return this.#xattrs && this.#getXattr(request, reply, this.#xattrs);
			case FUSE_LISTXATTR:
				return this.#xattrs && answerXattrNames(request, reply, [...this.#xattrs.keys()].map(bytesOf));
			default:
				return undefined;
		}
	}

	#getXattr(request: Request, reply: Buffer, xattrs: Xattrs): number {
		const value = xattrs.get(textOf(requestedXattr(request)));
		return value ? answerXattr(request, reply, value) : -ENODATA;
	}
}

/** Which requests for a copy's directory need nothing else of it. */
export const isForRootAlone = ({ opcode }: Request): boolean =>
	opcode === FUSE_GETATTR || opcode === FUSE_STATX || opcode === FUSE_GETXATTR || opcode === FUSE_LISTXATTR;

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
