import { LRUCache } from 'lru-cache';
import type { EntryVisitor } from '../ext/directory.ts';
import { isDot, isDotDot } from '../ext/directory-entry.ts';
import { type ExtFileSystem, ROOT_INODE } from '../ext/filesystem.ts';
import { type Inode, isDirectory, isRegular } from '../ext/inode.ts';
import { encodeAttrOut, encodeStatxOut, type Identity, S_IFDIR, S_IFMT, S_IFREG } from './attributes.ts';
import { DirectoryReply } from './directory-reply.ts';
import { answerEntry, type Entry, encodeNoEntry } from './entry.ts';
import { EINVAL, ENAMETOOLONG, ENOSYS, ENOTDIR, ENXIO } from './errno.ts';
import { answerIoctl } from './ioctl-reply.ts';
import type { ListAhead, ListedTo, ListingPlace } from './list-ahead.ts';
import { inoLow, ROOT_NODE } from './node-id.ts';
import {
	FOREVER_SEC,
	FUSE_GETATTR,
	FUSE_GETXATTR,
	FUSE_IOCTL,
	FUSE_LISTXATTR,
	FUSE_LOOKUP,
	FUSE_LSEEK,
	FUSE_READ,
	FUSE_READDIR,
	FUSE_READDIRPLUS,
	FUSE_READLINK,
	FUSE_STATFS,
	FUSE_STATX,
	lseekIn,
	lseekOut,
	MAX_CONTENT_BYTES,
	readIn,
	statfsOut,
} from './protocol.ts';
import type { Request } from './request.ts';
import type { StoreAhead } from './store-ahead.ts';
import { answerXattr, answerXattrNames, requestedXattr } from './xattr-reply.ts';

const NAME_MAX_BYTES = 255;
const MAX_INODES = 1024;

/** DT_… by the type in an ext directory entry (EXT4_FT_…): unknown, file, directory, char, block, fifo, socket, link. */
const DT_OF_FILE_TYPE = [0, 8, 4, 2, 6, 1, 12, 10] as const;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/**
 * The files of one shadow copy, answered from its ext file system. Nothing in it ever changes, so the kernel may keep
 * every answer, the names that do not exist among them.
 */
export class ExtTree {
	readonly #copyNumber: number;
	readonly #fs: ExtFileSystem;
	readonly #listAhead: ListAhead;
	readonly #ahead: StoreAhead | undefined;
	readonly #lastNode: { high: number; low: number };
	readonly #lastIdentity: { inoHigh: number; inoLow: number; blockSizeBytes: number };
	readonly #lastEntry: Omit<Entry, 'attributes'> & { attributes: Inode };
	/** Inodes that READ will ask for again, request after request. */
	readonly #inodes = new LRUCache<number, Inode>({ max: MAX_INODES });

	/** Errors: those of reading the root directory's inode. */
	constructor(copyNumber: number, fs: ExtFileSystem, listAhead: ListAhead, ahead: StoreAhead | undefined) {
		this.#copyNumber = copyNumber;
		this.#fs = fs;
		this.#listAhead = listAhead;
		this.#ahead = ahead;
		this.#lastNode = { high: copyNumber, low: ROOT_INODE };
		this.#lastIdentity = { inoHigh: copyNumber, inoLow: 0, blockSizeBytes: fs.superblock.blockSizeBytes };
		this.#lastEntry = {
			node: this.#lastNode,
			attributes: this.#inode(ROOT_INODE),
			identity: this.#lastIdentity,
			entryValidSec: FOREVER_SEC,
			attrValidSec: FOREVER_SEC,
		};
	}

	/** Drops what is cached of its file system. */
	close(): void {
		this.#fs.close();
	}

	/** Answers a request for a node of this copy. */
	handle(request: Request, reply: Buffer): number {
		const inode = this.#inode(request.nodeLow);
		switch (request.opcode) {
			case FUSE_READ:
				return this.#read(request, reply, inode);
			case FUSE_LOOKUP:
				return this.#lookup(request, reply, inode);
			case FUSE_GETATTR:
				return encodeAttrOut(reply, inode, this.#identity(inode), FOREVER_SEC);
			case FUSE_STATX:
				return encodeStatxOut(reply, inode, this.#identity(inode), inode.birthtime, FOREVER_SEC);
			case FUSE_READDIRPLUS:
			case FUSE_READDIR:
				return this.#readDirectory(request, reply, inode);
			case FUSE_READLINK:
				return this.#fs.readLink(inode).copy(reply);
			case FUSE_GETXATTR:
				return this.#getXattr(request, reply, inode);
			case FUSE_LISTXATTR:
				return answerXattrNames(request, reply, this.#fs.listXattrs(inode));
			case FUSE_LSEEK:
				return this.#seek(request, reply, inode);
			case FUSE_STATFS:
				return this.#statfs(reply);
			case FUSE_IOCTL:
				return answerIoctl(request, reply, inode);
			default:
				return -ENOSYS;
		}
	}

	#read(request: Request, reply: Buffer, file: Inode): number {
		const lengthBytes = Math.min(request.get(readIn.fields.lengthBytes), MAX_CONTENT_BYTES);
		const byteOffset = request.get(readIn.fields.byteOffset);
		if (byteOffset === 0) this.#ahead?.isRead(this.#copyNumber, file.number);
		return this.#fs.readFile(file, byteOffset, reply.subarray(0, lengthBytes));
	}

	/** Reads the whole of a regular file that fits; returns its size, or -1 where it is none. */
	readWhole(inodeNumber: number, into: Buffer): number {
		const file = this.#fs.readInode(inodeNumber);
		if (!isRegular(file) || file.sizeBytes > into.length) return -1;
		return this.#fs.readFile(file, 0, into.subarray(0, file.sizeBytes));
	}

	#lookup(request: Request, reply: Buffer, directory: Inode): number {
		if (!isDirectory(directory)) {
			// "." of a file: the kernel asks so for a node that an NFS client still holds and it has forgotten.
			if (!isDot(request.name())) return -ENOTDIR;
			return answerEntry(reply, this.#entry(directory));
		}
		const name = request.name();
		if (name.length > NAME_MAX_BYTES) return -ENAMETOOLONG;
		const inodeNumber = this.#fs.lookup(directory, name);
		if (inodeNumber === undefined) return encodeNoEntry(reply, FOREVER_SEC);
		return answerEntry(reply, this.#entry(this.#inode(inodeNumber)));
	}

	#readDirectory(request: Request, reply: Buffer, directory: Inode): number {
		const listing = DirectoryReply.to(request, reply);
		const place = { copyNumber: this.#copyNumber, inodeNumber: directory.number, position: listing.position };
		let listedTo = this.#listAhead.begin(place, listing);
		try {
			if (listedTo !== 'end') listedTo = this.#list(listing, directory, Number.POSITIVE_INFINITY);
		} catch (error) {
			// What was read before the damage is shown first; the next request starts at the damage and gets the error.
			if (listing.sizeBytes === 0) throw error;
		}
		if (listing.plus) this.#tellAhead(place, listing, listedTo);
		return listing.sizeBytes;
	}

	/** Adds names to a reply that nobody has asked for yet, at most so many. */
	list({ inodeNumber }: ListingPlace, listing: DirectoryReply, namesMax: number): ListedTo {
		return this.#list(listing, this.#inode(inodeNumber), namesMax);
	}

	#list(listing: DirectoryReply, directory: Inode, namesMax: number): ListedTo {
		let [listedTo, names]: [ListedTo, number] = ['end', 0];
		const visit: EntryVisitor = (name, inodeNumber, fileType, nextPosition) => {
			if (!listing.fits(name.length)) listedTo = 'full';
			else if (names++ === namesMax) listedTo = 'more';
			if (listedTo !== 'end') return false;
			const isParent = isDotDot(name);
			const isOutside = isParent && directory.number === ROOT_INODE;
			const entry = listing.plus && !isDot(name) && !isParent ? this.#readableEntry(inodeNumber) : undefined;
			const type = entry ? (entry.attributes.mode >>> 12) & 15 : DT_OF_FILE_TYPE[fileType]!;
			const inoHigh = isOutside ? ROOT_NODE.high : this.#copyNumber;
			const low = isOutside ? ROOT_NODE.low : inoLow(this.#copyNumber, inodeNumber);
			listing.add(name, inoHigh, low, type, nextPosition, entry);
			return true;
		};
		this.#fs.readDirectory(directory, listing.position, visit, listing.plus);
		return listedTo;
	}

	#tellAhead(place: ListingPlace, listing: DirectoryReply, listedTo: ListedTo): void {
		const directories: number[] = [];
		listing.eachNode((inodeNumber, mode, sizeBytes) => {
			const type = mode & S_IFMT;
			if (type === S_IFDIR) directories.push(inodeNumber);
			else if (type === S_IFREG) this.#ahead?.wasListed(this.#copyNumber, inodeNumber, sizeBytes);
		});
		this.#listAhead.listed(place, listing, directories, listedTo);
	}

	/** The entry of a listed name, or none where its inode is damaged: the name is listed, and stat of it then fails. */
	#readableEntry(inodeNumber: number): Entry | undefined {
		try {
			return this.#entry(this.#fs.readInode(inodeNumber));
		} catch {
			return undefined;
		}
	}

	#getXattr(request: Request, reply: Buffer, inode: Inode): number {
		return answerXattr(request, reply, this.#fs.getXattr(inode, requestedXattr(request)));
	}

	#seek(request: Request, reply: Buffer, file: Inode): number {
		const whence = request.get(lseekIn.fields.whence);
		if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return -EINVAL;
		const what = whence === SEEK_DATA ? 'data' : 'hole';
		const { byteOffsetLow, byteOffsetHigh } = lseekIn.fields;
		// Rounded above 2^53, where no file reaches.
		const wanted = request.get(byteOffsetHigh) * 2 ** 32 + request.get(byteOffsetLow);
		const byteOffset = this.#fs.seek(file, wanted, what);
		if (byteOffset === undefined) return -ENXIO;
		lseekOut.encode({ byteOffset }, reply);
		return lseekOut.sizeBytes;
	}

	#statfs(reply: Buffer): number {
		const statfs = this.#fs.statfs();
		reply.fill(0, 0, statfsOut.sizeBytes);
		statfsOut.encode({ ...statfs, fragmentSizeBytes: statfs.blockSizeBytes }, reply);
		return statfsOut.sizeBytes;
	}

	#inode(inodeNumber: number): Inode {
		const known = this.#inodes.get(inodeNumber);
		if (known) return known;
		const inode = this.#fs.readInode(inodeNumber).copy();
		this.#inodes.set(inodeNumber, inode);
		return inode;
	}

	/** The same object for every inode: it is valid until the next call. Listings would make much garbage otherwise. */
	#entry(inode: Inode): Entry {
		this.#lastNode.low = inode.number;
		this.#lastEntry.attributes = inode;
		this.#identity(inode);
		return this.#lastEntry;
	}

	/** As #entry. */
	#identity(inode: Inode): Identity {
		this.#lastIdentity.inoLow = inoLow(this.#copyNumber, inode.number);
		return this.#lastIdentity;
	}
}
