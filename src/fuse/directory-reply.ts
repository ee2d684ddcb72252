import { ENTRY_BYTES, type Entry, encodeEntry } from './entry.ts';
import { dirent, FUSE_READDIRPLUS, MAX_CONTENT_BYTES, readIn } from './protocol.ts';
import type { Request } from './request.ts';

const ALIGNMENT = 8;

/** One reply to READDIR or READDIRPLUS: names are added until no more fit into what was asked for. */
export class DirectoryReply {
	/** Whether the kernel wants the entries' nodes and attributes too. */
	readonly plus: boolean;
	/** Where the listing goes on: 0, or the position of the last name that was taken. */
	readonly position: number;
	readonly #reply: Buffer;
	readonly #limitBytes: number;
	#usedBytes = 0;

	constructor(request: Request, reply: Buffer) {
		this.plus = request.opcode === FUSE_READDIRPLUS;
		this.position = request.get(readIn.fields.byteOffset);
		this.#reply = reply;
		this.#limitBytes = Math.min(request.get(readIn.fields.lengthBytes), MAX_CONTENT_BYTES);
	}

	get sizeBytes(): number {
		return this.#usedBytes;
	}

	/** Whether a name of this length still fits: to be asked before the entry is looked for. */
	fits(nameBytes: number): boolean {
		return this.#usedBytes + this.#recordBytes(nameBytes) <= this.#limitBytes;
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
	}

	#recordBytes(nameBytes: number): number {
		const bytes = (this.plus ? ENTRY_BYTES : 0) + dirent.sizeBytes + nameBytes;
		return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
	}
}
