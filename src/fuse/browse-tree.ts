/**
 * The tree that people browse: one directory for every shadow copy, named @GMT-YYYY.MM.DD-HH.MM.SS, with the files of
 * the volume as they were.
 *
 * Only the root ever changes. The kernel keeps everything below for good; of the root it keeps the attributes for
 * ROOT_VALID_SEC and the listing for as long as the root's modification time stays the same (AUTO_INVAL_DATA). So a
 * change shows after a second even if nobody notifies the kernel, and at once if somebody does (invalidateInode for the
 * root, invalidateEntry for a copy that went).
 */
import { LRUCache } from 'lru-cache';
import { isDotDot } from '../ext/directory-entry.ts';
import { type ExtFileSystem, ROOT_INODE } from '../ext/filesystem.ts';
import { type Attributes, encodeAttrOut, encodeStatxOut, type Identity, S_IFDIR, timesAt } from './attributes.ts';
import { CopyRoot } from './copy-root.ts';
import { DirectoryReply } from './directory-reply.ts';
import { answerEntry, type Entry } from './entry.ts';
import { ENOENT, ENOSYS, EROFS, ESTALE, errnoOf } from './errno.ts';
import { ExtTree } from './ext-tree.ts';
import { ListAhead, type ListNames } from './list-ahead.ts';
import { inoLow, ROOT_NODE } from './node-id.ts';
import * as protocol from './protocol.ts';
import type { Request } from './request.ts';
import type { RequestHandler } from './session.ts';
import type { StoreAhead } from './store-ahead.ts';
import { answerXattr, answerXattrNames } from './xattr-reply.ts';

/** A shadow copy as the tree shows it. */
export interface BrowseCopy {
	/** 1 to 2^31, never used again for another copy. */
	readonly number: number;
	/** Its directory: @GMT-YYYY.MM.DD-HH.MM.SS, or PRESENT_NAME. */
	readonly name: string;
	readonly createdAtMs: number;
	/** Opens its file system, at its first use. What it throws is what who enters the directory gets. */
	open(): ExtFileSystem;
	/** Opens it to be closed again at once: keeps nothing, and takes no room from what others keep. Errors: as `open`. */
	openBriefly(): ExtFileSystem;
	/** Whether it was deleted or lost, before setCopies could say so. */
	isGone(): boolean;
}

export interface BrowseTreeOptions {
	/** Where several threads serve the mount: their read-ahead across files. */
	readonly ahead?: StoreAhead;
	/** … and across listings. */
	readonly listAhead?: ListAhead;
	log(message: string, error: unknown): void;
}

const ROOT_VALID_SEC = 1;
const BLOCK_SIZE_BYTES = 4096;
const DT_DIR = 4;
const NAME = /^@GMT-\d{4}\.\d{2}\.\d{2}-\d{2}\.\d{2}\.\d{2}$/;
/** The volume as it is now, where the tree shows that, too. No epoch has this number. */
export const PRESENT_NAME = 'volume';
export const PRESENT_NUMBER = 2 ** 31;
/** The one that was used least recently is closed, and opened again when asked for. */
const MAX_OPEN_COPIES = 16;

/** The listing's positions of "." and "..": a copy's position is its time's 14 digits, so that it never changes. */
const DOTS = [
	{ name: Buffer.from('.'), position: 1 },
	{ name: Buffer.from('..'), position: 2 },
];
const PRESENT_POSITION = 3;

const WRITES: ReadonlySet<number> = new Set([
	protocol.FUSE_SETATTR,
	protocol.FUSE_SYMLINK,
	protocol.FUSE_MKNOD,
	protocol.FUSE_MKDIR,
	protocol.FUSE_UNLINK,
	protocol.FUSE_RMDIR,
	protocol.FUSE_RENAME,
	protocol.FUSE_RENAME2,
	protocol.FUSE_LINK,
	protocol.FUSE_WRITE,
	protocol.FUSE_SETXATTR,
	protocol.FUSE_REMOVEXATTR,
	protocol.FUSE_CREATE,
	protocol.FUSE_TMPFILE,
	protocol.FUSE_FALLOCATE,
	protocol.FUSE_COPY_FILE_RANGE,
]);

export class BrowseTree implements RequestHandler {
	readonly features = {
		flags:
			protocol.FUSE_DO_READDIRPLUS |
			protocol.FUSE_PARALLEL_DIROPS |
			protocol.FUSE_NO_OPEN_SUPPORT |
			protocol.FUSE_NO_OPENDIR_SUPPORT |
			protocol.FUSE_CACHE_SYMLINKS |
			protocol.FUSE_EXPORT_SUPPORT |
			protocol.FUSE_POSIX_ACL |
			protocol.FUSE_AUTO_INVAL_DATA,
		flags2: 0,
	};
	readonly #log: BrowseTreeOptions['log'];
	readonly #ahead: StoreAhead | undefined;
	readonly #listAhead: ListAhead;
	readonly #open = new LRUCache<number, ExtTree>({
		max: MAX_OPEN_COPIES,
		dispose: (tree) => tree.close(),
	});
	/** The directories of copies that somebody has asked for. */
	readonly #roots = new Map<number, CopyRoot>();
	/** Copies whose trouble was logged. */
	readonly #failed = new Set<number>();
	#copies = new Map<number, BrowseCopy>();
	#named = new Map<string, BrowseCopy>();
	#listed: readonly { readonly copy: BrowseCopy; readonly name: Buffer; readonly position: number }[] = [];
	#changedAtMs = 0;

	constructor(options: BrowseTreeOptions) {
		this.#log = options.log;
		this.#ahead = options.ahead;
		this.#listAhead = options.listAhead ?? new ListAhead();
	}

	/**
	 * Says which copies there are, and when that last changed. Every thread that serves the mount must be told the same.
	 * Errors: RangeError for a copy whose name or number cannot be shown (a bug of the caller).
	 */
	setCopies(copies: readonly BrowseCopy[], changedAtMs: number): void {
		const listed = copies.map((copy) => {
			if (!(NAME.test(copy.name) || copy.name === PRESENT_NAME) || !(copy.number >= 1 && copy.number <= 2 ** 31)) {
				throw new RangeError(`shadow copy ${copy.number}: ${copy.name} cannot be shown`);
			}
			return { copy, name: Buffer.from(copy.name), position: positionOf(copy.name) };
		});
		this.#listed = listed.sort((a, b) => a.position - b.position);
		this.#copies = new Map(copies.map((copy) => [copy.number, copy]));
		this.#named = new Map(copies.map((copy) => [copy.name, copy]));
		this.#changedAtMs = changedAtMs;
		for (const number of this.#open.keys()) if (!this.#copies.has(number)) this.#open.delete(number);
		for (const number of this.#roots.keys()) if (!this.#copies.has(number)) this.#roots.delete(number);
		for (const number of this.#failed) if (!this.#copies.has(number)) this.#failed.delete(number);
	}

	handle(request: Request, reply: Buffer): number {
		if (WRITES.has(request.opcode)) return -EROFS;
		if (request.opcode === protocol.FUSE_OPEN || request.opcode === protocol.FUSE_OPENDIR) return -ENOSYS;
		if (request.nodeHigh === ROOT_NODE.high) return this.#handleRoot(request, reply);
		const copy = this.#copies.get(request.nodeHigh);
		if (!copy || copy.isGone()) return -ESTALE;
		if (isParentOfCopy(request)) return answerEntry(reply, this.#rootEntry());
		const isCopyRoot = request.nodeLow === ROOT_INODE;
		if (isCopyRoot && CopyRoot.answers(request)) {
			const root = this.#rootOf(copy);
			if (typeof root === 'number') return this.#handleClosed(request, reply, copy, root);
			const result = root.handle(request, reply);
			if (result !== undefined) return result;
		}
		const tree = this.#treeOf(copy);
		return typeof tree === 'number' ? tree : tree.handle(request, reply);
	}

	/** To be called between two requests: stores the content of files that will be asked for soon. */
	readAhead(): void {
		try {
			this.#ahead?.work(this.#readWhole);
		} catch (error) {
			this.#log('storing content ahead failed', error);
		}
	}

	/** Prepares a part of a listing that may be asked for soon. */
	whileSpinning(): void {
		this.#listAhead.step(this.#listNames);
	}

	readonly #listNames: ListNames = (place, reply, namesMax) =>
		this.#open.peek(place.copyNumber)?.list(place, reply, namesMax) ?? 'full';

	/** Nobody has asked for it yet, so nobody is told of an error: who asks will be. */
	readonly #readWhole = (copyNumber: number, inodeNumber: number, into: Buffer): number => {
		const copy = this.#copies.get(copyNumber);
		if (!copy || copy.isGone()) return -1;
		const tree = this.#treeOf(copy);
		try {
			return typeof tree === 'number' ? -1 : tree.readWhole(inodeNumber, into);
		} catch {
			return -1;
		}
	};

	#handleRoot(request: Request, reply: Buffer): number {
		switch (request.opcode) {
			case protocol.FUSE_GETATTR:
				return encodeAttrOut(reply, this.#rootAttributes(), ROOT_IDENTITY, ROOT_VALID_SEC);
			case protocol.FUSE_STATX:
				return encodeStatxOut(reply, this.#rootAttributes(), ROOT_IDENTITY, undefined, ROOT_VALID_SEC);
			case protocol.FUSE_LOOKUP:
				return this.#lookupCopy(request, reply);
			case protocol.FUSE_READDIR:
			case protocol.FUSE_READDIRPLUS:
				return this.#listCopies(request, reply);
			case protocol.FUSE_STATFS:
				return answerEmptyStatfs(reply);
			case protocol.FUSE_GETXATTR:
				return answerXattr(request, reply, undefined);
			case protocol.FUSE_LISTXATTR:
				return answerXattrNames(request, reply, []);
			default:
				return -ENOSYS;
		}
	}

	#lookupCopy(request: Request, reply: Buffer): number {
		const name = Buffer.from(request.name()).toString('latin1');
		if (name === '.' || name === '..') return answerEntry(reply, this.#rootEntry());
		const found = this.#named.get(name);
		if (!found || found.isGone()) return -ENOENT;
		const root = this.#rootOf(found);
		return answerEntry(reply, typeof root === 'number' ? closedEntry(found) : root.entry);
	}

	/** Without the copies' attributes: they would open each copy, and most listings only want the names. */
	#listCopies(request: Request, reply: Buffer): number {
		const listing = DirectoryReply.to(request, reply);
		for (const { name, position } of DOTS) {
			if (position > listing.position && listing.fits(name.length))
				listing.add(name, ROOT_NODE.high, ROOT_NODE.low, DT_DIR, position);
		}
		for (const { copy, name, position } of this.#listed) {
			if (position <= listing.position || copy.isGone()) continue;
			if (!listing.fits(name.length)) break;
			listing.add(name, copy.number, inoLow(copy.number, ROOT_INODE), DT_DIR, position);
		}
		return listing.sizeBytes;
	}

	/** The files of a copy, opened if need be, or minus errno where it cannot be. */
	#treeOf(copy: BrowseCopy): ExtTree | number {
		const known = this.#open.get(copy.number);
		if (known) return known;
		return this.#attempt(copy, () => {
			const tree = openTree(copy, this.#listAhead, this.#ahead);
			this.#open.set(copy.number, tree);
			return tree;
		});
	}

	/** The directory of a copy, or minus errno where it cannot be read. */
	#rootOf(copy: BrowseCopy): CopyRoot | number {
		const known = this.#roots.get(copy.number);
		if (known) return known;
		return this.#attempt(copy, () => {
			const root = readRoot(copy);
			this.#roots.set(copy.number, root);
			return root;
		});
	}

	#attempt<Result>(copy: BrowseCopy, open: () => Result): Result | number {
		try {
			const result = open();
			this.#failed.delete(copy.number);
			return result;
		} catch (error) {
			if (!this.#failed.has(copy.number)) this.#log(`${copy.name}: cannot be opened`, error);
			this.#failed.add(copy.number);
			return -errnoOf(error);
		}
	}

	/** A copy that cannot be opened is there all the same, as a directory that cannot be entered. */
	#handleClosed(request: Request, reply: Buffer, copy: BrowseCopy, errno: number): number {
		const { attributes, identity, attrValidSec } = closedEntry(copy);
		switch (request.opcode) {
			case protocol.FUSE_GETATTR:
				return encodeAttrOut(reply, attributes, identity, attrValidSec);
			case protocol.FUSE_STATX:
				return encodeStatxOut(reply, attributes, identity, undefined, attrValidSec);
			default:
				return errno;
		}
	}

	#rootEntry(): Entry {
		return {
			node: ROOT_NODE,
			attributes: this.#rootAttributes(),
			identity: ROOT_IDENTITY,
			entryValidSec: 0,
			attrValidSec: ROOT_VALID_SEC,
		};
	}

	#rootAttributes(): Attributes {
		return plainDirectory(this.#changedAtMs, 2 + this.#copies.size);
	}
}

const positionOf = (name: string) => (name === PRESENT_NAME ? PRESENT_POSITION : Number(name.replace(/\D/g, '')));

const ROOT_IDENTITY: Identity = {
	inoHigh: ROOT_NODE.high,
	inoLow: ROOT_NODE.low,
	blockSizeBytes: BLOCK_SIZE_BYTES,
};

/** A copy whose root cannot be read is one that cannot be opened. */
function openTree(copy: BrowseCopy, listAhead: ListAhead, ahead: StoreAhead | undefined): ExtTree {
	const fs = copy.open();
	try {
		return new ExtTree(copy.number, fs, listAhead, ahead);
	} catch (error) {
		fs.close();
		throw error;
	}
}

function readRoot(copy: BrowseCopy): CopyRoot {
	const fs = copy.openBriefly();
	try {
		return new CopyRoot(copy.number, fs);
	} finally {
		fs.close();
	}
}

/** LOOKUP of ".." in a copy's directory: the one way out of a copy, which its own file system knows nothing of. */
function isParentOfCopy(request: Request): boolean {
	return request.opcode === protocol.FUSE_LOOKUP && request.nodeLow === ROOT_INODE && isDotDot(request.name());
}

function closedEntry(copy: BrowseCopy): Entry {
	return {
		node: { high: copy.number, low: ROOT_INODE },
		attributes: plainDirectory(copy.createdAtMs, 2),
		identity: {
			inoHigh: copy.number,
			inoLow: inoLow(copy.number, ROOT_INODE),
			blockSizeBytes: BLOCK_SIZE_BYTES,
		},
		entryValidSec: 0,
		attrValidSec: 0,
	};
}

function plainDirectory(timeMs: number, linkCount: number): Attributes {
	return {
		mode: S_IFDIR | 0o555,
		linkCount,
		uid: 0,
		gid: 0,
		sizeBytes: BLOCK_SIZE_BYTES,
		blocks512: 0,
		...timesAt(timeMs),
		deviceMajor: 0,
		deviceMinor: 0,
	};
}

function answerEmptyStatfs(reply: Buffer): number {
	reply.fill(0, 0, protocol.statfsOut.sizeBytes);
	const sizes = { blockSizeBytes: BLOCK_SIZE_BYTES, fragmentSizeBytes: BLOCK_SIZE_BYTES, nameMaxBytes: 255 };
	protocol.statfsOut.encode(sizes, reply);
	return protocol.statfsOut.sizeBytes;
}
