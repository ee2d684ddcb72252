/**
 * The two numbers of a file in the tree of shadow copies.
 *
 * Its node id, by which the kernel names it in requests: the copy's number in the upper 32 bits, the inode's in the
 * lower. Nothing has to be remembered for it, so FORGET has no meaning and any thread can answer for any node.
 *
 * Its st_ino, by which programs tell files apart: the same, but with the copy's number mixed into the lower half as well.
 * smbd passes only the lower half to its clients, and tar, cp -a or rsync -H on a system with 32-bit inode numbers take
 * equal ones with more than one link for one file: two versions of it must differ in both halves. Within a copy the sum
 * keeps hard links equal and other files different.
 */
export interface NodeId {
	readonly high: number;
	readonly low: number;
}

/** FUSE_ROOT_ID: the directory of all copies. Copy numbers start at 1, so no file has it. */
export const ROOT_NODE: NodeId = { high: 0, low: 1 };

/** The lower half of st_ino; the upper half is the copy's number. */
export function inoLow(copyNumber: number, inodeNumber: number): number {
	return (inodeNumber + mix(copyNumber)) >>> 0;
}

/** A bijection of 32 bits (the finalizer of MurmurHash3), so that no two copies get the same; 0 stays 0. */
function mix(value: number): number {
	let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
	mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
	return (mixed ^ (mixed >>> 16)) >>> 0;
}
