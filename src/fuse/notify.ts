import { writeSync } from 'node:fs';
import type { NodeId } from './node-id.ts';
import {
	FUSE_NOTIFY_INVAL_ENTRY,
	FUSE_NOTIFY_INVAL_INODE,
	FUSE_NOTIFY_STORE,
	invalEntryOut,
	invalInodeOut,
	outHeader,
	storeOut,
} from './protocol.ts';

/**
 * Makes the kernel forget a name in a directory, and everything cached below it. Any thread may call it but one that
 * serves the mount: the kernel takes the directory's lock here, which a look-up may hold that waits for that thread.
 */
export function invalidateEntry(fd: number, parent: NodeId, name: Uint8Array): void {
	const body = Buffer.alloc(invalEntryOut.sizeBytes + name.length + 1);
	invalEntryOut.encode({ parentLow: parent.low, parentHigh: parent.high, nameBytes: name.length, flags: 0 }, body);
	body.set(name, invalEntryOut.sizeBytes);
	notify(fd, FUSE_NOTIFY_INVAL_ENTRY, body);
}

/** Makes the kernel forget a node's attributes and cached content (of a directory: its listing). As invalidateEntry. */
export function invalidateInode(fd: number, node: NodeId): void {
	notify(
		fd,
		FUSE_NOTIFY_INVAL_INODE,
		invalInodeOut.encode({ nodeLow: node.low, nodeHigh: node.high, byteOffset: 0, lengthBytes: -1 }),
	);
}

/** Puts the content of files into the kernel's page cache, from one buffer that is used again. */
export class ContentStore {
	/** Where the content is to be put before `store`. */
	readonly content: Buffer;
	readonly #fd: number;
	readonly #message: Buffer;

	constructor(fd: number, contentBytesMax: number) {
		this.#fd = fd;
		this.#message = Buffer.alloc(outHeader.sizeBytes + storeOut.sizeBytes + contentBytesMax);
		this.content = this.#message.subarray(outHeader.sizeBytes + storeOut.sizeBytes);
	}

	/**
	 * Gives the kernel the first `lengthBytes` of `content` as the whole of a file, whose size the kernel knows to be just
	 * that. It waits for a READ of the same pages that is under way, so another thread must be there to answer that.
	 */
	store(nodeHigh: number, nodeLow: number, lengthBytes: number): void {
		const totalBytes = outHeader.sizeBytes + storeOut.sizeBytes + lengthBytes;
		const header = outHeader.fields;
		const body = storeOut.fields;
		header.lengthBytes.write(this.#message, header.lengthBytes.at, totalBytes);
		header.error.write(this.#message, header.error.at, FUSE_NOTIFY_STORE);
		body.nodeLow.write(this.#message, outHeader.sizeBytes + body.nodeLow.at, nodeLow);
		body.nodeHigh.write(this.#message, outHeader.sizeBytes + body.nodeHigh.at, nodeHigh);
		body.lengthBytes.write(this.#message, outHeader.sizeBytes + body.lengthBytes.at, lengthBytes);
		send(this.#fd, this.#message.subarray(0, totalBytes));
	}
}

function notify(fd: number, code: number, body: Buffer): void {
	const lengthBytes = outHeader.sizeBytes + body.length;
	const header = outHeader.encode({ lengthBytes, error: code, uniqueLow: 0, uniqueHigh: 0 });
	send(fd, Buffer.concat([header, body]));
}

function send(fd: number, message: Buffer): void {
	try {
		writeSync(fd, message);
	} catch (error) {
		const errorCode = (error as NodeJS.ErrnoException).code;
		// ENOENT, ENOTDIR: the kernel does not know (any more) what it is told of. ENODEV: unmounted meanwhile.
		if (errorCode !== 'ENOENT' && errorCode !== 'ENOTDIR' && errorCode !== 'ENODEV') throw error;
	}
}
