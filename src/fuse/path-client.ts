/**
 * Asks a RequestHandler by path, for transports that know paths alone. It sends the very requests that the kernel would
 * send, one name after the other, so that a tree has one way of answering, whoever asks.
 * What fails throws a RequestError.
 */
import type { Decoded } from '../bytes/struct.ts';
import { ENOENT, errnoOf } from './errno.ts';
import { type NodeId, ROOT_NODE } from './node-id.ts';
import * as protocol from './protocol.ts';
import { Request } from './request.ts';
import type { RequestHandler } from './session.ts';

export class RequestError extends Error {
	readonly errno: number;

	constructor(errno: number) {
		super(`the request failed with errno ${errno}`);
		this.errno = errno;
	}
}

export type FuseAttributes = Decoded<typeof protocol.attr.fields>;
export type FuseStatfs = Decoded<typeof protocol.statfsOut.fields>;

const NO_BODY = Buffer.alloc(0);
const ENTRY_NODE = protocol.entryOut.fields;
const LISTING_BYTES = 1 << 16;

export class PathClient {
	readonly #handler: RequestHandler;
	readonly #request = new Request();
	readonly #reply = Buffer.alloc(protocol.MAX_CONTENT_BYTES);

	constructor(handler: RequestHandler) {
		this.#handler = handler;
	}

	/** The node that an absolute path leads to. */
	resolve(path: string): NodeId {
		const names = path.split('/').filter(Boolean);
		return names.reduce((parent, name) => this.#lookup(parent, name), ROOT_NODE);
	}

	attributes(node: NodeId): FuseAttributes {
		this.#ask(protocol.FUSE_GETATTR, node, Buffer.alloc(16));
		return protocol.attr.decode(this.#reply, protocol.attrOut.sizeBytes);
	}

	/** The names in a directory, "." and ".." among them. */
	list(node: NodeId): Buffer[] {
		const names: Buffer[] = [];
		for (let position = 0; ; ) {
			const body = protocol.readIn.encode({ byteOffset: position, lengthBytes: LISTING_BYTES });
			const sizeBytes = this.#ask(protocol.FUSE_READDIR, node, body);
			if (sizeBytes === 0) return names;
			for (let at = 0; at < sizeBytes; ) {
				const { nameBytes, nextPosition } = protocol.dirent.decode(this.#reply, at);
				const start = at + protocol.dirent.sizeBytes;
				names.push(Buffer.from(this.#reply.subarray(start, start + nameBytes)));
				position = nextPosition;
				at = Math.ceil((start + nameBytes) / 8) * 8;
			}
		}
	}

	/** Returns the number of bytes read: fewer than asked for at the end of the file. */
	read(node: NodeId, byteOffset: number, into: Buffer): number {
		const body = protocol.readIn.encode({ byteOffset, lengthBytes: into.length });
		const sizeBytes = this.#ask(protocol.FUSE_READ, node, body);
		this.#reply.copy(into, 0, 0, sizeBytes);
		return sizeBytes;
	}

	readLink(node: NodeId): Buffer {
		return this.#content(this.#ask(protocol.FUSE_READLINK, node, NO_BODY));
	}

	getXattr(node: NodeId, name: string): Buffer {
		const body = Buffer.concat([XATTR_IN, Buffer.from(`${name}\0`)]);
		return this.#content(this.#ask(protocol.FUSE_GETXATTR, node, body));
	}

	listXattrs(node: NodeId): Buffer[] {
		const names = this.#content(this.#ask(protocol.FUSE_LISTXATTR, node, XATTR_IN));
		return names
			.toString('latin1')
			.split('\0')
			.filter(Boolean)
			.map((name) => Buffer.from(name, 'latin1'));
	}

	statfs(node: NodeId): FuseStatfs {
		this.#ask(protocol.FUSE_STATFS, node, NO_BODY);
		return protocol.statfsOut.decode(this.#reply);
	}

	#lookup(parent: NodeId, name: string): NodeId {
		this.#ask(protocol.FUSE_LOOKUP, parent, Buffer.from(`${name}\0`));
		const node = {
			low: ENTRY_NODE.nodeLow.read(this.#reply, ENTRY_NODE.nodeLow.at),
			high: ENTRY_NODE.nodeHigh.read(this.#reply, ENTRY_NODE.nodeHigh.at),
		};
		if (node.low === 0 && node.high === 0) throw new RequestError(ENOENT); // a name that does not exist, to be remembered
		return node;
	}

	#content(sizeBytes: number): Buffer {
		return Buffer.from(this.#reply.subarray(0, sizeBytes));
	}

	/** Returns the size of the reply. */
	#ask(opcode: number, node: NodeId, body: Uint8Array): number {
		this.#request.compose(opcode, node, body);
		let result: number;
		try {
			result = this.#handler.handle(this.#request, this.#reply);
		} catch (error) {
			throw new RequestError(errnoOf(error));
		}
		if (result < 0) throw new RequestError(-result);
		return result;
	}
}

/** As large as a value can be: the reply is then the value, and not its size. */
const XATTR_IN = protocol.getxattrIn.encode({ sizeBytes: 1 << 16 });
