import { type Attributes, encodeAttr, type Identity } from './attributes.ts';
import type { NodeId } from './node-id.ts';
import { attr, entryOut } from './protocol.ts';
import { setWords64, wordIndexes, wordsOf } from './words.ts';

/** What the kernel learns of a name: which node it is and how long that holds. */
export interface Entry {
	readonly node: NodeId;
	readonly attributes: Attributes;
	readonly identity: Identity;
	readonly entryValidSec: number;
	readonly attrValidSec: number;
}

export const ENTRY_BYTES = entryOut.sizeBytes + attr.sizeBytes;

const at = wordIndexes(entryOut);

/** Writes a fuse_entry_out with its fuse_attr from a word on: the reply to LOOKUP, and the first part of a READDIRPLUS. */
export function encodeEntry(words: Uint32Array, start: number, entry: Entry): void {
	words[start + at.nodeLow] = entry.node.low;
	words[start + at.nodeHigh] = entry.node.high;
	// Generations tell apart the users of one node id over time; ours have one each, since copy numbers are not reused.
	setWords64(words, start + at.generation, 0);
	setWords64(words, start + at.entryValidSec, entry.entryValidSec);
	setWords64(words, start + at.attrValidSec, entry.attrValidSec);
	words[start + at.entryValidNsec] = 0;
	words[start + at.attrValidNsec] = 0;
	encodeAttr(words, start + entryOut.sizeBytes / 4, entry.attributes, entry.identity);
}

/** The reply to LOOKUP of a name that exists. Returns its size. */
export function answerEntry(reply: Buffer, entry: Entry): number {
	encodeEntry(wordsOf(reply), 0, entry);
	return ENTRY_BYTES;
}

/** The reply to LOOKUP of a name that does not exist, which the kernel may remember for so long. Returns its size. */
export function encodeNoEntry(reply: Buffer, validSec: number): number {
	reply.fill(0, 0, ENTRY_BYTES);
	entryOut.encode({ entryValidSec: validSec }, reply);
	return ENTRY_BYTES;
}
