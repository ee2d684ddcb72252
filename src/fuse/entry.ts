import { type Attributes, encodeAttr, type Identity } from './attributes.ts';
import type { NodeId } from './node-id.ts';
import { attr, entryOut } from './protocol.ts';

/** What the kernel learns of a name: which node it is and how long that holds. */
export interface Entry {
	readonly node: NodeId;
	readonly attributes: Attributes;
	readonly identity: Identity;
	readonly entryValidSec: number;
	readonly attrValidSec: number;
}

export const ENTRY_BYTES = entryOut.sizeBytes + attr.sizeBytes;

/** Writes a fuse_entry_out with its fuse_attr: the reply to LOOKUP, and the first part of an entry of READDIRPLUS. */
export function encodeEntry(into: Buffer, position: number, entry: Entry): void {
	const { fields: f } = entryOut;
	f.nodeLow.write(into, position + f.nodeLow.at, entry.node.low);
	f.nodeHigh.write(into, position + f.nodeHigh.at, entry.node.high);
	// Generations tell apart the users of one node id over time; ours have one each, since copy numbers are not reused.
	f.generation.write(into, position + f.generation.at, 0);
	f.entryValidSec.write(into, position + f.entryValidSec.at, entry.entryValidSec);
	f.attrValidSec.write(into, position + f.attrValidSec.at, entry.attrValidSec);
	f.entryValidNsec.write(into, position + f.entryValidNsec.at, 0);
	f.attrValidNsec.write(into, position + f.attrValidNsec.at, 0);
	encodeAttr(into, position + entryOut.sizeBytes, entry.attributes, entry.identity);
}

/** The reply to LOOKUP of a name that does not exist, which the kernel may remember for so long. Returns its size. */
export function encodeNoEntry(reply: Buffer, validSec: number): number {
	reply.fill(0, 0, ENTRY_BYTES);
	entryOut.encode({ entryValidSec: validSec }, reply);
	return ENTRY_BYTES;
}
