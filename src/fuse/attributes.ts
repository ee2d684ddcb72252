import { attr, attrOut, STATX_BASIC_STATS, STATX_BTIME, statx, statxOut } from './protocol.ts';

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

/** Where it was asked and who it is: st_ino as two halves, st_blksize. */
export interface Identity {
	readonly inoHigh: number;
	readonly inoLow: number;
	readonly blockSizeBytes: number;
}

export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;

/** Writes a fuse_attr at `position`. Field by field: READDIRPLUS does this for every file of a tree. */
export function encodeAttr(into: Buffer, position: number, of: Attributes, identity: Identity): void {
	const f = attr.fields;
	f.inoLow.write(into, position + f.inoLow.at, identity.inoLow);
	f.inoHigh.write(into, position + f.inoHigh.at, identity.inoHigh);
	f.sizeBytes.write(into, position + f.sizeBytes.at, of.sizeBytes);
	f.blocks512.write(into, position + f.blocks512.at, of.blocks512);
	f.atimeSec.write(into, position + f.atimeSec.at, of.atimeSec);
	f.mtimeSec.write(into, position + f.mtimeSec.at, of.mtimeSec);
	f.ctimeSec.write(into, position + f.ctimeSec.at, of.ctimeSec);
	f.atimeNsec.write(into, position + f.atimeNsec.at, of.atimeNsec);
	f.mtimeNsec.write(into, position + f.mtimeNsec.at, of.mtimeNsec);
	f.ctimeNsec.write(into, position + f.ctimeNsec.at, of.ctimeNsec);
	f.mode.write(into, position + f.mode.at, of.mode);
	f.linkCount.write(into, position + f.linkCount.at, of.linkCount);
	f.uid.write(into, position + f.uid.at, of.uid);
	f.gid.write(into, position + f.gid.at, of.gid);
	f.device.write(into, position + f.device.at, encodeDevice(of.deviceMajor, of.deviceMinor));
	f.blockSizeBytes.write(into, position + f.blockSizeBytes.at, identity.blockSizeBytes);
	f.flags.write(into, position + f.flags.at, 0);
}

/** The reply to GETATTR and SETATTR. Returns its size. */
export function encodeAttrOut(reply: Buffer, of: Attributes, identity: Identity, validSec: number): number {
	reply.fill(0, 0, attrOut.sizeBytes);
	attrOut.encode({ attrValidSec: validSec }, reply);
	encodeAttr(reply, attrOut.sizeBytes, of, identity);
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
