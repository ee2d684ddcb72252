/**
 * Which preserved chunk does a shadow copy read? An index in shared memory with one writer (the live thread) and any
 * number of lock-free readers.
 *
 * Every preserved chunk has a *location*: the pages of all segments, oldest first, form one line of page numbers; the
 * location is twice that number, plus 1 for a zero entry. Segments only grow at their end and newer epochs begin
 * later, so locations grow with time, and "preserved in epoch e or later" is simply "location >= the base of e".
 *
 * The versions of one chunk form a list, newest first, from `heads[chunk]`. Shadow copy e reads the *oldest* version
 * that is at or after e's base. Each node also has a jump pointer to a node further back (a skew-binary list: Myers,
 * "An applicative random-access stack", 1983), so that the oldest of 512 copies costs O(log n) steps, not n.
 *
 * A node is complete before `heads` names it (Atomics.store), and never changes while a living copy can reach it.
 * When the table is full, nodes that only deleted copies could reach are taken again: their locations then become
 * *newer* than those of the nodes that still point at them, which ends a walk, and the heads that named them are
 * cleared first, which a reader notices by loading the head again.
 */
import { adviseMemory } from '../system/libc.ts';

const PREVIOUS = 0;
const JUMP = 1;
const LOCATION = 2;
const DEPTH = 3;
const NODE_WORDS = 4;

/** What these take of memory (64 KiB) fits into the cache of one core. */
const FILLED_AT_ONCE = 256;

/** What another thread needs to read the same index. */
export interface ChunkIndexShare {
	readonly heads: SharedArrayBuffer;
	readonly nodes: SharedArrayBuffer;
	/** One word: the first node that was never used. */
	readonly nodeEnd: SharedArrayBuffer;
}

export class ChunkIndex {
	#share: ChunkIndexShare;
	readonly #heads: Int32Array;
	#nodes: Uint32Array;
	#capacity: number;
	readonly #nodeEnd: Int32Array;
	readonly #touched = new Uint32Array(FILLED_AT_ONCE);
	#reusable: number[] = [];

	private constructor(share: ChunkIndexShare) {
		this.#share = share;
		this.#heads = new Int32Array(share.heads);
		this.#nodes = new Uint32Array(share.nodes);
		this.#nodeEnd = new Int32Array(share.nodeEnd);
		this.#capacity = this.#nodes.length / NODE_WORDS;
	}

	/**
	 * Reserves address space for the whole table; memory is only used where chunks are preserved. `isDense`: so many will
	 * be, all over the volume, that nearly every page of the heads is used.
	 */
	static create(chunkCount: number, nodeCapacity: number, isDense = false): ChunkIndex {
		const index = new ChunkIndex({
			heads: new SharedArrayBuffer(4 * chunkCount),
			nodes: new SharedArrayBuffer(4 * NODE_WORDS * (nodeCapacity + 1)),
			nodeEnd: new SharedArrayBuffer(4),
		});
		index.#nodeEnd[0] = 1; // node 0 means "none"
		adviseMemory(new Uint8Array(index.share.heads), isDense);
		adviseMemory(new Uint8Array(index.share.nodes), true);
		return index;
	}

	static attach(share: ChunkIndexShare): ChunkIndex {
		return new ChunkIndex(share);
	}

	get share(): ChunkIndexShare {
		return this.#share;
	}

	/** Every version of every chunk is a node from 1 to before this one; some may be unused. */
	get nodeEnd(): number {
		return this.#nodeEnd[0]!;
	}

	/** The location of a version. */
	locationAt(node: number): number {
		return this.#nodes[node * NODE_WORDS + LOCATION]!;
	}

	/** The location of the version before it of the same chunk; 0 where there is none that a copy can reach. */
	previousLocationAt(node: number): number {
		const previous = this.locationAt(this.#nodes[node * NODE_WORDS + PREVIOUS]!);
		return previous < this.locationAt(node) ? previous : 0;
	}

	/** The oldest location of the chunk at or after `baseLocation` (>= 1), or 0 where there is none. */
	find(chunkIndex: number, baseLocation: number): number {
		for (;;) {
			const head = Atomics.load(this.#heads, chunkIndex);
			const location = this.#walk(head, baseLocation);
			if (Atomics.load(this.#heads, chunkIndex) === head) return location;
		}
	}

	#walk(head: number, baseLocation: number): number {
		const nodes = this.#nodes;
		let node = head * NODE_WORDS;
		let location = nodes[node + LOCATION]!;
		if (head === 0 || location < baseLocation) return 0;
		for (;;) {
			let older = nodes[node + JUMP]! * NODE_WORDS;
			let olderLocation = nodes[older + LOCATION]!;
			if (olderLocation < baseLocation || olderLocation >= location) {
				older = nodes[node + PREVIOUS]! * NODE_WORDS;
				olderLocation = nodes[older + LOCATION]!;
				if (older === 0 || olderLocation < baseLocation || olderLocation >= location) return location;
			}
			node = older;
			location = olderLocation;
		}
	}

	/** Adds the newest version of a chunk. Only the writer calls this, and only where `hasRoom()`. */
	publish(chunkIndex: number, location: number): void {
		const node = this.#reusable.pop() ?? this.#nodeEnd[0]!++;
		const nodes = this.#nodes;
		const previous = this.#heads[chunkIndex]!;
		const at = node * NODE_WORDS;
		nodes[at + LOCATION] = location;
		if (previous === 0) {
			nodes[at + PREVIOUS] = 0;
			nodes[at + JUMP] = 0;
			nodes[at + DEPTH] = 1;
		} else {
			this.#link(at, previous);
		}
		Atomics.store(this.#heads, chunkIndex, node);
	}

	/**
	 * Adds versions of many chunks: chunk index and offset from `baseLocation`, alternating. Makes the room for them. Only
	 * for a new index, before its `share` is given away: it takes no care of readers.
	 */
	fill(places: Uint32Array, baseLocation: number): void {
		if (!this.hasRoom(places.length / 2)) this.#grow(this.nodeEnd + places.length);
		for (let i = 0; i < places.length; i += 2 * FILLED_AT_ONCE) {
			const some = places.subarray(i, i + 2 * FILLED_AT_ONCE);
			this.#touch(some);
			this.#fill(some, baseLocation);
		}
	}

	/**
	 * Nearly all that filling takes is waiting for memory: for the head of a chunk, and for three nodes behind it, each of
	 * which tells where the next one is. Asked for in this order for many chunks, they are waited for together.
	 */
	#touch(places: Uint32Array): void {
		const [heads, nodes, touched] = [this.#heads, this.#nodes, this.#touched];
		const count = places.length / 2;
		for (let i = 0; i < count; i++) touched[i] = heads[places[2 * i]!]!;
		for (let step = 0; step < 3; step++)
			for (let i = 0; i < count; i++) touched[i] = nodes[touched[i]! * NODE_WORDS + JUMP]!;
	}

	#fill(places: Uint32Array, baseLocation: number): void {
		const [heads, nodes] = [this.#heads, this.#nodes];
		let node = this.nodeEnd;
		for (let i = 0; i < places.length; i += 2) {
			const chunkIndex = places[i]!;
			const previous = heads[chunkIndex]!;
			const at = node * NODE_WORDS;
			nodes[at + LOCATION] = baseLocation + places[i + 1]!;
			if (previous === 0) nodes[at + DEPTH] = 1;
			else this.#link(at, previous);
			heads[chunkIndex] = node++;
		}
		this.#nodeEnd[0] = node;
	}

	#grow(capacity: number): void {
		const nodes = new SharedArrayBuffer(4 * NODE_WORDS * (capacity + 1));
		const words = new Uint32Array(nodes);
		adviseMemory(new Uint8Array(nodes), true);
		words.set(this.#nodes.subarray(0, this.nodeEnd * NODE_WORDS));
		this.#share = { ...this.#share, nodes };
		[this.#nodes, this.#capacity] = [words, capacity + 1];
	}

	#link(at: number, previous: number): void {
		const nodes = this.#nodes;
		const jump = this.#jumpOf(previous);
		const farther = this.#jumpOf(jump);
		const depthOf = (id: number) => nodes[id * NODE_WORDS + DEPTH]!;
		const equalStrides = depthOf(previous) - depthOf(jump) === depthOf(jump) - depthOf(farther);
		nodes[at + PREVIOUS] = previous;
		nodes[at + JUMP] = equalStrides ? farther : previous;
		nodes[at + DEPTH] = depthOf(previous) + 1;
	}

	/** A node's jump, or none where that node was taken again since: it is newer then. */
	#jumpOf(node: number): number {
		const jump = this.#nodes[node * NODE_WORDS + JUMP]!;
		return this.#nodes[jump * NODE_WORDS + LOCATION]! < this.#nodes[node * NODE_WORDS + LOCATION]! ? jump : 0;
	}

	hasRoom(nodeCount: number): boolean {
		return this.#reusable.length + (this.#capacity - this.nodeEnd) >= nodeCount;
	}

	/** Makes the nodes below `oldestBase` (the base of the oldest living copy) available again. O(chunks + nodes). */
	reclaim(oldestBase: number): void {
		const nodes = this.#nodes;
		for (let chunk = 0; chunk < this.#heads.length; chunk++) {
			const head = this.#heads[chunk]!;
			if (head !== 0 && nodes[head * NODE_WORDS + LOCATION]! < oldestBase) Atomics.store(this.#heads, chunk, 0);
		}
		this.#reusable = [];
		for (let node = 1; node < this.nodeEnd; node++) {
			if (nodes[node * NODE_WORDS + LOCATION]! < oldestBase) this.#reusable.push(node);
		}
	}
}
