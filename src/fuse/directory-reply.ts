import { ENTRY_BYTES, type Entry, encodeEntry } from './entry.ts';
import { attr, dirent, entryOut, FUSE_READDIRPLUS, MAX_CONTENT_BYTES, readIn } from './protocol.ts';
import type { Request } from './request.ts';
import { setWords64, wordIndexes, wordsOf } from './words.ts';

const ALIGNMENT = 8;
const [at, entryAt, attrAt] = [wordIndexes(dirent), wordIndexes(entryOut), wordIndexes(attr)];

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
	readonly #words: Uint32Array;
	#position: number;
	#usedBytes: number;

	/** With `usedBytes` it goes on with a reply that has names already, before `position`. */
	constructor(reply: Buffer, { plus, position, limitBytes }: WantedListing, usedBytes = 0) {
		this.plus = plus;
		this.limitBytes = limitBytes;
		this.#reply = reply;
		this.#words = wordsOf(reply);
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
		const words = this.#words;
		const end = this.#usedBytes + this.#recordBytes(name.length);
		let start = this.#usedBytes / 4;
		if (this.plus) {
			if (entry) encodeEntry(words, start, entry);
			else words.fill(0, start, start + ENTRY_BYTES / 4);
			start += ENTRY_BYTES / 4;
		}
		setWords64(words, end / 4 - 2, 0); // what pads the name
		words[start + at.inoLow] = inoLow;
		words[start + at.inoHigh] = inoHigh;
		setWords64(words, start + at.nextPosition, nextPosition);
		words[start + at.nameBytes] = name.length;
		words[start + at.type] = type;
		const nameAt = 4 * start + dirent.sizeBytes;
		for (let i = 0; i < name.length; i++) this.#reply[nameAt + i] = name[i]!;
		this.#usedBytes = end;
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
		const words = this.#words;
		for (let usedBytes = 0; usedBytes < this.#usedBytes; ) {
			const start = usedBytes / 4;
			const attrStart = start + entryOut.sizeBytes / 4;
			const sizeBytes = words[attrStart + attrAt.sizeBytes]! + words[attrStart + attrAt.sizeBytes + 1]! * 2 ** 32;
			const nodeLow = words[start + entryAt.nodeLow]!;
			if (nodeLow !== 0) visit(nodeLow, words[attrStart + attrAt.mode]!, sizeBytes);
			usedBytes += this.#recordBytes(words[start + ENTRY_BYTES / 4 + at.nameBytes]!);
		}
	}

	#recordBytes(nameBytes: number): number {
		const bytes = (this.plus ? ENTRY_BYTES : 0) + dirent.sizeBytes + nameBytes;
		return (bytes + ALIGNMENT - 1) & -ALIGNMENT;
	}
}
