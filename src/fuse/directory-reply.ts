import { ENTRY_BYTES, type Entry, encodeEntry } from './entry.ts';
import { attr, dirent, entryOut, FUSE_READDIRPLUS, MAX_CONTENT_BYTES, readIn } from './protocol.ts';
import type { Request } from './request.ts';

const ALIGNMENT = 8;

export interface WantedListing {
	/** Whether the kernel wants the entries' nodes and attributes too. */
	readonly plus: boolean;
	readonly position: number;
	readonly limitBytes: number;
}

/** One reply to READDIR or READDIRPLUS: names are added until no more fit into what was asked for. */
export class DirectoryReply {
	readonly plus: boolean;
	/** How many bytes were asked for. */
	readonly limitBytes: number;
	readonly #reply: Buffer;
	#position: number;
	#usedBytes: number;

	/** With `usedBytes` it goes on with a reply that has names already, before `position`. */
	constructor(reply: Buffer, { plus, position, limitBytes }: WantedListing, usedBytes = 0) {
		this.plus = plus;
		this.limitBytes = limitBytes;
		this.#reply = reply;
		this.#position = position;
		this.#usedBytes = usedBytes;
	}

	static to(request: Request, reply: Buffer): DirectoryReply {
		return new DirectoryReply(reply, {
			plus: request.opcode === FUSE_READDIRPLUS,
			position: request.get(readIn.fields.byteOffset),
			limitBytes: Math.min(request.get(readIn.fields.lengthBytes), MAX_CONTENT_BYTES),
		});
	}

	/** Where the listing goes on: what the request says, or the position of the last name that was added. */
	get position(): number {
		return this.#position;
	}

	get sizeBytes(): number {
		return this.#usedBytes;
	}

	/** Whether a name of this length still fits: to be asked before the entry is looked for. */
	fits(nameBytes: number): boolean {
		return this.#usedBytes + this.#recordBytes(nameBytes) <= this.limitBytes;
	}

	/**
	 * Adds a name that fits. `type` is a DT_… value. In a READDIRPLUS without `entry` the name is listed and the kernel
	 * looks it up when someone asks: so for ".", "..", and what cannot be read.
	 */
	add(name: Uint8Array, inoHigh: number, inoLow: number, type: number, nextPosition: number, entry?: Entry): void {
		const start = this.#usedBytes;
		let at = start;
		if (this.plus) {
			if (entry) encodeEntry(this.#reply, at, entry);
			else this.#reply.fill(0, at, at + ENTRY_BYTES);
			at += ENTRY_BYTES;
		}
		const { fields: f } = dirent;
		f.inoLow.write(this.#reply, at + f.inoLow.at, inoLow);
		f.inoHigh.write(this.#reply, at + f.inoHigh.at, inoHigh);
		f.nextPosition.write(this.#reply, at + f.nextPosition.at, nextPosition);
		f.nameBytes.write(this.#reply, at + f.nameBytes.at, name.length);
		f.type.write(this.#reply, at + f.type.at, type);
		this.#reply.set(name, at + dirent.sizeBytes);
		this.#usedBytes = start + this.#recordBytes(name.length);
		this.#reply.fill(0, at + dirent.sizeBytes + name.length, this.#usedBytes);
		this.#position = nextPosition;
	}

	/** Takes over the names of another reply, where it is of the same kind and they fit. For a reply without names. */
	copy(other: DirectoryReply): boolean {
		if (other.plus !== this.plus || other.#usedBytes > this.limitBytes) return false;
		other.#reply.copy(this.#reply, 0, 0, other.#usedBytes);
		this.#usedBytes = other.#usedBytes;
		this.#position = other.#position;
		return true;
	}

	/** Visits the nodes that a READDIRPLUS tells of, in the order of their names. */
	eachNode(visit: (nodeLow: number, mode: number, sizeBytes: number) => void): void {
		const [bytes, { fields: f }] = [this.#reply, attr];
		for (let at = 0; at < this.#usedBytes; ) {
			const nodeLow = entryOut.fields.nodeLow.read(bytes, at + entryOut.at.nodeLow);
			const attrAt = at + entryOut.sizeBytes;
			if (nodeLow !== 0) {
				visit(nodeLow, f.mode.read(bytes, attrAt + f.mode.at), f.sizeBytes.read(bytes, attrAt + f.sizeBytes.at));
			}
			at += this.#recordBytes(dirent.fields.nameBytes.read(bytes, at + ENTRY_BYTES + dirent.at.nameBytes));
		}
	}

	#recordBytes(nameBytes: number): number {
		const bytes = (this.plus ? ENTRY_BYTES : 0) + dirent.sizeBytes + nameBytes;
		return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
	}
}
