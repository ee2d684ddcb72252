/**
 * Listing ahead. READDIRPLUS tells the attributes of every file that it lists, so a client that walks through a tree
 * spends as much time with what one reply has told it as we spend with the next reply, one after the other. So the next
 * reply is prepared meanwhile, in the time in which a session only spins for the next request: the listing that goes on,
 * or that of the next directory of a walk. In small steps, so that a request for something else need not wait.
 *
 * A copy never changes, so what was prepared is right however late it is asked for. One reply is kept, for all threads of
 * a mount: one may prepare it, and another be asked for it. Where one finds another at work on it, it does without.
 */
import { DirectoryReply } from './directory-reply.ts';
import { Walk } from './walk.ts';

const PREPARED_BYTES_MAX = 1 << 16;
/** Some 20 µs. */
const STEP_NAMES = 8;

/** A part of a directory: what READDIRPLUS asks for. */
export interface ListingPlace {
	readonly copyNumber: number;
	readonly inodeNumber: number;
	/** Where the listing begins or goes on. */
	readonly position: number;
}

/** How far a listing came: to the end of the directory, until the reply was full, or until there were names enough. */
export type ListedTo = 'end' | 'full' | 'more';
const LISTED_TO: readonly ListedTo[] = ['end', 'full', 'more'];

/** Adds names to a reply, at most so many, from where it goes on. */
export type ListNames = (place: ListingPlace, reply: DirectoryReply, namesMax: number) => ListedTo;

/** The numbers of the shared state: they hold positions. */
const COPY_NUMBER = 0;
const INODE_NUMBER = 1;
const FROM_POSITION = 2;
const TO_POSITION = 3;
const SIZE_BYTES = 4;
const LIMIT_BYTES = 5;
/** An index of LISTED_TO. */
const CAME_TO = 6;
const NUMBERS = 7;

/** What the threads of a mount share: plain data. */
export interface ListAheadShare {
	/** The number of the thread that uses the rest, or 0. */
	readonly user: SharedArrayBuffer;
	readonly walk: SharedArrayBuffer;
	readonly prepared: SharedArrayBuffer;
	readonly bytes: SharedArrayBuffer;
}

export function createListAheadShare(): ListAheadShare {
	return {
		user: new SharedArrayBuffer(4),
		walk: new SharedArrayBuffer(4 * Walk.SHARE_WORDS),
		prepared: new SharedArrayBuffer(8 * NUMBERS),
		bytes: new SharedArrayBuffer(PREPARED_BYTES_MAX),
	};
}

/** Frees what a thread that has ended may have held: what it was preparing is not to be used. */
export function releaseListAhead(share: ListAheadShare, threadNumber: number): void {
	const user = new Int32Array(share.user);
	if (Atomics.load(user, 0) !== threadNumber) return;
	new Float64Array(share.prepared).fill(0);
	new Uint32Array(share.walk).fill(0);
	Atomics.store(user, 0, 0);
}

export class ListAhead {
	readonly #threadNumber: number;
	readonly #user: Int32Array;
	readonly #walk: Walk;
	readonly #prepared: Float64Array;
	readonly #bytes: Buffer;

	/** `threadNumber`: another one for each thread of the mount, 1 or more. */
	constructor(share: ListAheadShare = createListAheadShare(), threadNumber = 1) {
		this.#threadNumber = threadNumber;
		this.#user = new Int32Array(share.user);
		this.#walk = new Walk(new Uint32Array(share.walk));
		this.#prepared = new Float64Array(share.prepared);
		this.#bytes = Buffer.from(share.bytes);
	}

	/** Puts what was prepared into a reply that is still empty; 'end' where that is all. */
	begin(place: ListingPlace, reply: DirectoryReply): ListedTo {
		if (!this.#isPrepared(place) || !this.#enter()) return 'more';
		try {
			if (!this.#isPrepared(place) || !reply.copy(this.#reply())) return 'more';
			return LISTED_TO[this.#prepared[CAME_TO]!] === 'end' ? 'end' : 'more';
		} finally {
			this.#leave();
		}
	}

	/** A place was listed: its subdirectories there. */
	listed(place: ListingPlace, reply: DirectoryReply, children: readonly number[], listedTo: ListedTo): void {
		if (!this.#enter()) return;
		try {
			const { copyNumber, inodeNumber } = place;
			this.#walk.listed(copyNumber, inodeNumber, place.position === 0, children);
			if (listedTo !== 'end') this.#prepare({ ...place, position: reply.position }, reply.limitBytes);
			else this.#prepare({ copyNumber, inodeNumber: this.#walk.next, position: 0 }, reply.limitBytes);
		} finally {
			this.#leave();
		}
	}

	/** Prepares a few names, if there is anything to prepare. */
	step(list: ListNames): void {
		const prepared = this.#prepared;
		if (LISTED_TO[prepared[CAME_TO]!] !== 'more' || !this.#enter()) return;
		try {
			const [copyNumber, inodeNumber] = [prepared[COPY_NUMBER]!, prepared[INODE_NUMBER]!];
			const reply = this.#reply();
			const place = { copyNumber, inodeNumber, position: prepared[FROM_POSITION]! };
			const listedTo = list(place, reply, STEP_NAMES);
			prepared[TO_POSITION] = reply.position;
			prepared[SIZE_BYTES] = reply.sizeBytes;
			prepared[CAME_TO] = LISTED_TO.indexOf(listedTo);
		} catch {
			// Nobody has asked for it yet: who asks gets the error.
			prepared[CAME_TO] = LISTED_TO.indexOf('full');
		} finally {
			this.#leave();
		}
	}

	#prepare(place: ListingPlace, limitBytes: number): void {
		if (this.#isPrepared(place)) return;
		const { copyNumber, inodeNumber, position } = place;
		const cameTo = LISTED_TO.indexOf(inodeNumber === 0 ? 'full' : 'more');
		const limit = Math.min(limitBytes, PREPARED_BYTES_MAX);
		this.#prepared.set([copyNumber, inodeNumber, position, position, 0, limit, cameTo]);
	}

	#isPrepared({ copyNumber, inodeNumber, position }: ListingPlace): boolean {
		const prepared = this.#prepared;
		return (
			prepared[INODE_NUMBER] === inodeNumber &&
			prepared[FROM_POSITION] === position &&
			prepared[COPY_NUMBER] === copyNumber
		);
	}

	#reply(): DirectoryReply {
		const [position, limitBytes] = [this.#prepared[TO_POSITION]!, this.#prepared[LIMIT_BYTES]!];
		return new DirectoryReply(this.#bytes, { plus: true, position, limitBytes }, this.#prepared[SIZE_BYTES]!);
	}

	#enter(): boolean {
		return Atomics.compareExchange(this.#user, 0, 0, this.#threadNumber) === 0;
	}

	#leave(): void {
		Atomics.store(this.#user, 0, 0);
	}
}
