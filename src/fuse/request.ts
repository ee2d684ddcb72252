import type { Field } from '../bytes/struct.ts';
import { readOrErrno } from '../system/libc.ts';
import type { NodeId } from './node-id.ts';
import { inHeader, MAX_CONTENT_BYTES, PAGE_BYTES } from './protocol.ts';

const header = inHeader.fields;

/**
 * One request of the kernel, in a buffer that every request of a session uses again: whatever a handler takes out of it
 * as bytes is a view that is valid until the handler returns.
 */
export class Request {
	// The kernel requires room for a header and a write of max_write bytes.
	readonly #bytes = Buffer.alloc(PAGE_BYTES + MAX_CONTENT_BYTES);
	#end = 0;
	opcode = 0;
	nodeLow = 0;
	nodeHigh = 0;

	/** Takes the next request from /dev/fuse. Returns its size, or minus errno. */
	receive(fd: number): number {
		const received = readOrErrno(fd, this.#bytes);
		if (received <= 0) return received;
		this.#end = received;
		this.opcode = header.opcode.read(this.#bytes, header.opcode.at);
		this.nodeLow = header.nodeLow.read(this.#bytes, header.nodeLow.at);
		this.nodeHigh = header.nodeHigh.read(this.#bytes, header.nodeHigh.at);
		return received;
	}

	/** Makes it a request of root in this process, as if the kernel had sent it. */
	compose(opcode: number, node: NodeId, body: Uint8Array): void {
		this.#end = inHeader.sizeBytes + body.length;
		const head = { lengthBytes: this.#end, opcode, nodeLow: node.low, nodeHigh: node.high, uid: 0, gid: 0 };
		inHeader.encode(head, this.#bytes);
		this.#bytes.set(body, inHeader.sizeBytes);
		this.opcode = opcode;
		this.nodeLow = node.low;
		this.nodeHigh = node.high;
	}

	get uniqueLow(): number {
		return header.uniqueLow.read(this.#bytes, header.uniqueLow.at);
	}

	get uniqueHigh(): number {
		return header.uniqueHigh.read(this.#bytes, header.uniqueHigh.at);
	}

	/** Who asks, as the mount's user namespace sees them. */
	get uid(): number {
		return header.uid.read(this.#bytes, header.uid.at);
	}

	/** The thread that asks; 0 where that is one of the kernel's, or in no namespace of the mount. */
	get pid(): number {
		return header.pid.read(this.#bytes, header.pid.at);
	}

	/** A field of the structure that follows the header. */
	get<T>(field: Field<T>): T {
		return field.read(this.#bytes, inHeader.sizeBytes + field.at);
	}

	/** The name that starts `skippedBytes` after the header, without its NUL. */
	name(skippedBytes = 0): Uint8Array {
		const start = inHeader.sizeBytes + skippedBytes;
		const nul = this.#bytes.indexOf(0, start);
		return this.#bytes.subarray(start, nul < 0 || nul > this.#end ? this.#end : nul);
	}

	/** The content that starts `skippedBytes` after the header. */
	content(skippedBytes: number, lengthBytes: number): Uint8Array {
		const start = inHeader.sizeBytes + skippedBytes;
		if (start + lengthBytes > this.#end) {
			throw new RangeError(`FUSE request ${this.opcode}: ${lengthBytes} bytes of content, it has ${this.#end - start}`);
		}
		return this.#bytes.subarray(start, start + lengthBytes);
	}
}
