import { writeSync } from 'node:fs';
import type { NodeId } from './node-id.ts';
import {
	FUSE_NOTIFY_INVAL_ENTRY,
	FUSE_NOTIFY_INVAL_INODE,
	invalEntryOut,
	invalInodeOut,
	outHeader,
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

function notify(fd: number, code: number, body: Buffer): void {
	const lengthBytes = outHeader.sizeBytes + body.length;
	const header = outHeader.encode({ lengthBytes, error: code, uniqueLow: 0, uniqueHigh: 0 });
	try {
		writeSync(fd, Buffer.concat([header, body]));
	} catch (error) {
		const errorCode = (error as NodeJS.ErrnoException).code;
		// ENOENT, ENOTDIR: the kernel knows nothing of it, so nothing is to be forgotten. ENODEV: unmounted meanwhile.
		if (errorCode !== 'ENOENT' && errorCode !== 'ENOTDIR' && errorCode !== 'ENODEV') throw error;
	}
}
