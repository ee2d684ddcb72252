import { attr, attrOut, STATX_BASIC_STATS, STATX_BTIME, statx, statxOut } from './protocol.ts';
import { setWords64, wordIndexes, wordsOf } from './words.ts';

/** What stat(2) tells of a file, without its number. An Inode of src/ext is one. */
export interface Attributes {
	/** Type and permission bits. */
	readonly mode: number;
	readonly linkCount: number;
	readonly uid: number;
	readonly gid: number;
	readonly sizeBytes: number;
	readonly blocks512: number;
	readonly atimeSec: number;
	readonly atimeNsec: number;
	readonly mtimeSec: number;
	readonly mtimeNsec: number;
	readonly ctimeSec: number;
	readonly ctimeNsec: number;
	readonly deviceMajor: number;
	readonly deviceMinor: number;
}

/** The three times of a file that only ever had one: milliseconds since 1970, perhaps with a fraction. */
export function timesAt(timeMs: number) {
	const sec = Math.floor(timeMs / 1000);
	const nsec = Math.floor((timeMs - sec * 1000) * 1e6);
	return { atimeSec: sec, atimeNsec: nsec, mtimeSec: sec, mtimeNsec: nsec, ctimeSec: sec, ctimeNsec: nsec };
}

/** Where it was asked and who it is: st_ino as two halves, st_blksize. */
export interface Identity {
	readonly inoHigh: number;
	readonly inoLow: number;
	readonly blockSizeBytes: number;
}

export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;

const at = wordIndexes(attr);

/** Writes a fuse_attr that starts at a word. READDIRPLUS does this for every file of a tree. */
export function encodeAttr(words: Uint32Array, start: number, of: Attributes, identity: Identity): void {
	words[start + at.inoLow] = identity.inoLow;
	words[start + at.inoHigh] = identity.inoHigh;
	setWords64(words, start + at.sizeBytes, of.sizeBytes);
	setWords64(words, start + at.blocks512, of.blocks512);
	setWords64(words, start + at.atimeSec, of.atimeSec);
	setWords64(words, start + at.mtimeSec, of.mtimeSec);
	setWords64(words, start + at.ctimeSec, of.ctimeSec);
	words[start + at.atimeNsec] = of.atimeNsec;
	words[start + at.mtimeNsec] = of.mtimeNsec;
	words[start + at.ctimeNsec] = of.ctimeNsec;
	words[start + at.mode] = of.mode;
	words[start + at.linkCount] = of.linkCount;
	words[start + at.uid] = of.uid;
	words[start + at.gid] = of.gid;
	words[start + at.device] = encodeDevice(of.deviceMajor, of.deviceMinor);
	words[start + at.blockSizeBytes] = identity.blockSizeBytes;
	words[start + at.flags] = 0;
}

/** The reply to GETATTR and SETATTR. Returns its size. */
export function encodeAttrOut(reply: Buffer, of: Attributes, identity: Identity, validSec: number): number {
	reply.fill(0, 0, attrOut.sizeBytes);
	attrOut.encode({ attrValidSec: validSec }, reply);
	encodeAttr(wordsOf(reply), attrOut.sizeBytes / 4, of, identity);
	return attrOut.sizeBytes + attr.sizeBytes;
}

export interface Birthtime {
	readonly sec: number;
	readonly nsec: number;
}

/** The reply to STATX, which the kernel sends where someone asks for the time of birth. Returns its size. */
export function encodeStatxOut(
	reply: Buffer,
	of: Attributes,
	identity: Identity,
	birthtime: Birthtime | undefined,
	validSec: number,
): number {
	const sizeBytes = statxOut.sizeBytes + statx.sizeBytes;
	reply.fill(0, 0, sizeBytes);
	statxOut.encode({ attrValidSec: validSec }, reply);
	for (const values of [of, identity]) statx.encode(values, reply, statxOut.sizeBytes);
	statx.encode({ mask: STATX_BASIC_STATS }, reply, statxOut.sizeBytes);
	if (birthtime) {
		statx.encode(
			{ mask: STATX_BASIC_STATS | STATX_BTIME, birthtimeSec: birthtime.sec, birthtimeNsec: birthtime.nsec },
			reply,
			statxOut.sizeBytes,
		);
	}
	return sizeBytes;
}

/** A device number in 32 bits: new_encode_dev of the kernel's include/linux/kdev_t.h. */
function encodeDevice(major: number, minor: number): number {
	return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}
