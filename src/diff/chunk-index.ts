/**
 * Which preserved chunk does a shadow copy read? An index in shared memory with one writer (the live thread) and any
 * number of lock-free readers.
 *
 * Every preserved chunk has a *location*: the pages of all segments, oldest first, form one line of page numbers; the
 * location is twice that number, plus 1 for a zero entry. Segments only grow at their end and newer epochs begin
 * later, so locations grow with time, and "preserved in epoch e or later" is simply "location >= the base of e".
 *
 * The versions of one chunk form a list, newest first. Shadow copy e reads the *oldest* version that is at or after e's
 * base. Each node also has a jump pointer to a node further back (a skew-binary list: Myers, "An applicative random-access
 * stack", 1983), so that the oldest of 512 copies costs O(log n) steps, not n.
 *
 * The first version of a chunk has nothing before it. Its node is the chunk's *anchor*: it names the newest version, and
 * the next anchor of the same group of 1, 2, 4 or 8 chunks. With a word for each chunk of the volume the table would take
 * more than all nodes, where a few chunks are preserved all over.
 *
 * A node is complete before an anchor, or the table of groups, names it (Atomics.store), and never changes while a living
 * copy can reach it, but for what an anchor names. When the table is full, nodes that only deleted copies could reach are
 * taken again: their locations then become *newer* than those of the nodes that still point at them, which ends a walk.
 * What named them is changed first, and then the generation of the index, which a reader notices.
 */
import { adviseMemory } from '../system/libc.ts';

const NODE_WORDS = 4;
/** Of a node that is no anchor. */
const PREVIOUS = 0;
const JUMP = 1;
const LOCATION = 2;
const DEPTH = 3;
/** Of an anchor: the next one of its group, the newest version, its own location, and ANCHOR + chunk index. */
const NEXT = 0;
const NEWEST = 1;
const CHUNK = 3;

/** No depth is so great, and no volume has so many chunks. */
const ANCHOR = 2 ** 31;

/** A group has 2 to the power of this chunks at most. */
const GROUP_SHIFT_MAX = 3;
const GROUPS_IN_PAGE = 1024;

/** What these take of memory (64 KiB) fits into the cache of one core. */
const FILLED_AT_ONCE = 256;
const TOUCHED_ANCHORS = 3;

/** The words of `state`. */
const NODE_END = 0;
const GENERATION = 1;

/** What another thread needs to read the same index. */
export interface ChunkIndexShare {
	/** The first anchor of each group. */
	readonly groups: SharedArrayBuffer;
	/** A chunk's group is its index without so many bits. */
	readonly groupShift: number;
	readonly nodes: SharedArrayBuffer;
	/** The first node that was never used; how often nodes were reclaimed. */
	readonly state: SharedArrayBuffer;
}

export class ChunkIndex {
	#share: ChunkIndexShare;
	readonly #groups: Int32Array;
	readonly #groupShift: number;
	#nodes: Uint32Array;
	#capacity: number;
	readonly #state: Int32Array;
	readonly #touched = new Uint32Array(FILLED_AT_ONCE);
	#reusable: number[] = [];

	private constructor(share: ChunkIndexShare) {
		this.#share = share;
		this.#groups = new Int32Array(share.groups);
		this.#groupShift = share.groupShift;
		this.#nodes = new Uint32Array(share.nodes);
		this.#state = new Int32Array(share.state);
		this.#capacity = this.#nodes.length / NODE_WORDS;
	}

	/**
	 * Reserves address space for the whole table; memory is only used where chunks are preserved. `chunksExpected` of them
	 * will be filled in: there are about as many groups, so that most have one anchor.
	 */
	static create(chunkCount: number, nodeCapacity: number, chunksExpected = 0): ChunkIndex {
		let groupShift = GROUP_SHIFT_MAX;
		while (groupShift > 0 && chunkCount >>> groupShift < chunksExpected) groupShift--;
		const groupCount = (chunkCount >>> groupShift) + 1;
		const index = new ChunkIndex({
			groups: new SharedArrayBuffer(4 * groupCount),
			groupShift,
			nodes: new SharedArrayBuffer(4 * NODE_WORDS * (nodeCapacity + 1)),
			state: new SharedArrayBuffer(8),
		});
		index.#state[NODE_END] = 1; // node 0 means "none"
		const isUsedAllOver = chunksExpected > groupCount / GROUPS_IN_PAGE;
		adviseMemory(new Uint8Array(index.share.groups), { hugePages: isUsedAllOver });
		adviseMemory(index.#nodes, { hugePages: true }); // no Uint8Array has so many bytes in Node 20
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
		return this.#state[NODE_END]!;
	}

	/** The location of a version. */
	locationAt(node: number): number {
		return this.#nodes[node * NODE_WORDS + LOCATION]!;
	}

	/** The location of the version before it of the same chunk; 0 where there is none that a copy can reach. */
	previousLocationAt(node: number): number {
		if (this.#isAnchor(node)) return 0;
		const previous = this.locationAt(this.#nodes[node * NODE_WORDS + PREVIOUS]!);
		return previous < this.locationAt(node) ? previous : 0;
	}

	/** The oldest location of the chunk at or after `baseLocation` (>= 1), or 0 where there is none. */
	find(chunkIndex: number, baseLocation: number): number {
		for (;;) {
			const generation = Atomics.load(this.#state, GENERATION);
			const anchor = this.#anchorOf(chunkIndex, Atomics.load(this.#groups, chunkIndex >>> this.#groupShift));
			const newest = anchor === 0 ? 0 : Atomics.load(this.#nodes, anchor * NODE_WORDS + NEWEST);
			const location = this.#walk(newest, baseLocation);
			if (Atomics.load(this.#state, GENERATION) === generation) return location;
		}
	}

	/** Where the chunk's anchor is in its group, of which `first` is the first one; 0: it has none. */
	#anchorOf(chunkIndex: number, first: number): number {
		const nodes = this.#nodes;
		let node = first;
		while (node !== 0) {
			const differs = nodes[node * NODE_WORDS + CHUNK]! ^ (ANCHOR + chunkIndex);
			if (differs === 0) return node;
			if (differs >>> this.#groupShift !== 0) return 0; // it was taken again; `find` will notice
			node = nodes[node * NODE_WORDS + NEXT]!;
		}
		return 0;
	}

	#isAnchor(node: number): boolean {
		return this.#nodes[node * NODE_WORDS + CHUNK]! >= ANCHOR;
	}

	#walk(newest: number, baseLocation: number): number {
		const nodes = this.#nodes;
		let node = newest * NODE_WORDS;
		let location = nodes[node + LOCATION]!;
		if (newest === 0 || location < baseLocation) return 0;
		while (nodes[node + DEPTH]! < ANCHOR) {
			let older = nodes[node + JUMP]! * NODE_WORDS;
			let olderLocation = nodes[older + LOCATION]!;
			if (olderLocation < baseLocation || olderLocation >= location) {
				older = nodes[node + PREVIOUS]! * NODE_WORDS;
				olderLocation = nodes[older + LOCATION]!;
				if (olderLocation < baseLocation || olderLocation >= location) return location;
			}
			node = older;
			location = olderLocation;
		}
		return location;
	}

	/** Adds the newest version of a chunk. Only the writer calls this, and only where `hasRoom()`. */
	publish(chunkIndex: number, location: number): void {
		const node = this.#reusable.pop() ?? this.#state[NODE_END]!++;
		const group = chunkIndex >>> this.#groupShift;
		const anchor = this.#anchorOf(chunkIndex, this.#groups[group]!);
		this.#complete(node, chunkIndex, location, anchor);
		if (anchor === 0) Atomics.store(this.#groups, group, node);
		else Atomics.store(this.#nodes, anchor * NODE_WORDS + NEWEST, node);
	}

	/** Makes a node what the newest version of a chunk needs; `anchor` is 0 where it is the first one. */
	#complete(node: number, chunkIndex: number, location: number, anchor: number): void {
		const nodes = this.#nodes;
		const at = node * NODE_WORDS;
		nodes[at + LOCATION] = location;
		if (anchor !== 0) {
			this.#link(at, nodes[anchor * NODE_WORDS + NEWEST]!);
			return;
		}
		nodes[at + NEXT] = this.#groups[chunkIndex >>> this.#groupShift]!;
		nodes[at + NEWEST] = node;
		nodes[at + CHUNK] = ANCHOR + chunkIndex;
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
	 * Nearly all that filling takes is waiting for memory: for the group of a chunk, and for anchors behind it, each of
	 * which tells where the next one is. Asked for in this order for many chunks, they are waited for together.
	 */
	#touch(places: Uint32Array): void {
		const [groups, nodes, touched, shift] = [this.#groups, this.#nodes, this.#touched, this.#groupShift];
		const count = places.length / 2;
		for (let i = 0; i < count; i++) touched[i] = groups[places[2 * i]! >>> shift]!;
		for (let step = 0; step < TOUCHED_ANCHORS; step++)
			for (let i = 0; i < count; i++) touched[i] = nodes[touched[i]! * NODE_WORDS + NEXT]!;
	}

	#fill(places: Uint32Array, baseLocation: number): void {
		const [groups, nodes] = [this.#groups, this.#nodes];
		let node = this.nodeEnd;
		for (let i = 0; i < places.length; i += 2) {
			const chunkIndex = places[i]!;
			const group = chunkIndex >>> this.#groupShift;
			const anchor = this.#anchorOf(chunkIndex, groups[group]!);
			this.#complete(node, chunkIndex, baseLocation + places[i + 1]!, anchor);
			if (anchor === 0) groups[group] = node++;
			else nodes[anchor * NODE_WORDS + NEWEST] = node++;
		}
		this.#state[NODE_END] = node;
	}

	#grow(capacity: number): void {
		const nodes = new SharedArrayBuffer(4 * NODE_WORDS * (capacity + 1));
		const words = new Uint32Array(nodes);
		adviseMemory(words, { hugePages: true });
		words.set(this.#nodes.subarray(0, this.nodeEnd * NODE_WORDS));
		this.#share = { ...this.#share, nodes };
		[this.#nodes, this.#capacity] = [words, capacity + 1];
	}

	#link(at: number, previous: number): void {
		const nodes = this.#nodes;
		const jump = this.#jumpOf(previous);
		const farther = this.#jumpOf(jump);
		const depthOf = (id: number) => (this.#isAnchor(id) ? 1 : nodes[id * NODE_WORDS + DEPTH]!);
		const equalStrides = depthOf(previous) - depthOf(jump) === depthOf(jump) - depthOf(farther);
		nodes[at + PREVIOUS] = previous;
		nodes[at + JUMP] = equalStrides ? farther : previous;
		nodes[at + DEPTH] = depthOf(previous) + 1;
	}

	/** A node's jump, or none where that node was taken again since: it is newer then. */
	#jumpOf(node: number): number {
		if (this.#isAnchor(node)) return 0;
		const jump = this.#nodes[node * NODE_WORDS + JUMP]!;
		return this.#nodes[jump * NODE_WORDS + LOCATION]! < this.#nodes[node * NODE_WORDS + LOCATION]! ? jump : 0;
	}

	hasRoom(nodeCount: number): boolean {
		return this.#reusable.length + (this.#capacity - this.nodeEnd) >= nodeCount;
	}

	/**
	 * Makes the nodes below `oldestBase` (the base of the oldest living copy) available again, but for the anchors of chunks
	 * that have newer versions. O(chunks + nodes).
	 */
	reclaim(oldestBase: number): void {
		const nodes = this.#nodes;
		const isOld = (node: number) => nodes[node * NODE_WORDS + LOCATION]! < oldestBase;
		const dropped: number[] = [];
		for (let group = 0; group < this.#groups.length; group++) this.#dropAnchors(group, isOld, dropped);
		Atomics.add(this.#state, GENERATION, 1);
		for (const node of dropped) nodes[node * NODE_WORDS + DEPTH] = 0;
		this.#reusable = [];
		for (let node = 1; node < this.nodeEnd; node++) {
			if (isOld(node) && !this.#isAnchor(node)) this.#reusable.push(node);
		}
	}

	/** Takes the anchors of chunks that have old versions alone out of their group. */
	#dropAnchors(group: number, isOld: (node: number) => boolean, dropped: number[]): void {
		const nodes = this.#nodes;
		let kept = 0;
		let next: number;
		for (let node = this.#groups[group]!; node !== 0; node = next) {
			next = nodes[node * NODE_WORDS + NEXT]!;
			if (!isOld(nodes[node * NODE_WORDS + NEWEST]!)) kept = node;
			else {
				if (kept === 0) Atomics.store(this.#groups, group, next);
				else nodes[kept * NODE_WORDS + NEXT] = next;
				dropped.push(node);
			}
		}
	}
}
