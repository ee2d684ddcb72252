import { struct, u16le, u32le } from '../bytes/struct.ts';
import { corrupt } from '../errors.ts';

const DISK_VERSION = 1; // EXT4_ACL_VERSION
const WIRE_VERSION = 2; // POSIX_ACL_XATTR_VERSION
const NO_ID = 0xffffffff; // ACL_UNDEFINED_ID

const shortEntry = struct('ACL entry', 4, { tag: u16le(0x0), permissions: u16le(0x2) });
const longEntry = struct('ACL entry with an id', 8, { tag: u16le(0x0), permissions: u16le(0x2), id: u32le(0x4) });

/** ACL_USER_OBJ, ACL_GROUP_OBJ, ACL_MASK, ACL_OTHER. */
const TAGS_WITHOUT_ID = [0x01, 0x04, 0x10, 0x20];
/** ACL_USER, ACL_GROUP. */
const TAGS_WITH_ID = [0x02, 0x08];

/**
 * Turns a POSIX ACL from ext4's form on the disk, where only the entries of named users and groups have an id
 * (fs/ext4/acl.c), into the form of getxattr(2), where each has one (linux/posix_acl_xattr.h). Undefined for one without
 * entries, which is none.
 */
export function aclToWire(disk: Buffer, inodeNumber: number): Buffer | undefined {
	const fail = (what: string) => corrupt('acl', `inode ${inodeNumber}: POSIX ACL: ${what}`);
	if (disk.length === 0) return undefined;
	if (disk.length < 4) throw fail(`has ${disk.length} bytes`);
	const version = disk.readUInt32LE(0);
	if (version !== DISK_VERSION) throw fail(`version ${version}, expected ${DISK_VERSION}`);
	const header = Buffer.alloc(4);
	header.writeUInt32LE(WIRE_VERSION);
	const entries: Buffer[] = [header];
	for (let at = 4; at < disk.length; ) {
		if (at + shortEntry.sizeBytes > disk.length) throw fail(`its entry at ${at} is cut off`);
		const { tag, permissions } = shortEntry.decode(disk, at);
		const hasId = TAGS_WITH_ID.includes(tag);
		if (!hasId && !TAGS_WITHOUT_ID.includes(tag))
			throw fail(`its entry at ${at} has the unknown tag 0x${tag.toString(16)}`);
		if (hasId && at + longEntry.sizeBytes > disk.length) throw fail(`its entry at ${at} is cut off`);
		const id = hasId ? longEntry.decode(disk, at).id : NO_ID;
		entries.push(longEntry.encode({ tag, permissions, id }));
		at += hasId ? longEntry.sizeBytes : shortEntry.sizeBytes;
	}
	return entries.length === 1 ? undefined : Buffer.concat(entries);
}
