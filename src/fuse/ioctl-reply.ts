import type { Inode } from '../ext/inode.ts';
import { INODE_FLAGS } from '../ext/layout.ts';
import { ENOSYS } from './errno.ts';
import { fsxattr, ioctlIn, ioctlOut } from './protocol.ts';
import type { Request } from './request.ts';

/** Type and number of an ioctl, its lower half; what stands above them differs between architectures. */
const FS_IOC_GETFLAGS = 0x6601;
const FS_IOC_FSGETXATTR = 0x581f;
const FS_IOC_GETVERSION = 0x7601;

/** FS_XFLAG_… (linux/fs.h) by the flag of an inode. */
const XFLAGS = [
	[INODE_FLAGS.immutable, 0x8],
	[INODE_FLAGS.append, 0x10],
	[INODE_FLAGS.sync, 0x20],
	[INODE_FLAGS.noatime, 0x40],
	[INODE_FLAGS.nodump, 0x80],
	[INODE_FLAGS.projinherit, 0x200],
	[INODE_FLAGS.dax, 0x8000],
] as const;

/**
 * Answers IOCTL: the flags of a file, as lsattr and backup programs ask for them, its project, its generation. The kernel
 * asks for them of regular files and directories alone.
 */
export function answerIoctl(request: Request, reply: Buffer, inode: Inode): number {
	const endBytes = writeAnswer(request.get(ioctlIn.fields.command) & 0xffff, reply, inode);
	if (endBytes === undefined) return -ENOSYS;
	reply.fill(0, 0, ioctlOut.sizeBytes);
	return endBytes;
}

/** Behind the place of the header. Returns where it ends, or undefined for an ioctl that is not known. */
function writeAnswer(command: number, reply: Buffer, inode: Inode): number | undefined {
	const at = ioctlOut.sizeBytes;
	switch (command) {
		case FS_IOC_GETFLAGS:
			return reply.writeUInt32LE(inode.visibleFlags, at);
		case FS_IOC_GETVERSION:
			return reply.writeUInt32LE(inode.generation, at);
		case FS_IOC_FSGETXATTR:
			reply.fill(0, at, at + fsxattr.sizeBytes);
			fsxattr.encode({ flags: xflagsOf(inode.visibleFlags), projectId: inode.projectId ?? 0 }, reply, at);
			return at + fsxattr.sizeBytes;
		default:
			return undefined;
	}
}

function xflagsOf(flags: number): number {
	return XFLAGS.reduce((xflags, [flag, xflag]) => (flags & flag ? xflags | xflag : xflags), 0);
}
