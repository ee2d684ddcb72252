/**
 * A program of its own, since it may have to wait for the mount: node shut-down-file-system.js MOUNTPOINT
 *
 * Writes a file system out and ends it, though it is in use: whoever still uses it gets EIO, and its disk needs no
 * recovery. ext4, XFS and others know this ioctl: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_DEFAULT.
 */
import { openSync } from 'node:fs';
import { ioctl } from '../system/libc.ts';

const SHUTDOWN = 0x8004587d; // _IOR('X', 125, __u32)
const FULL_SYNC = Buffer.alloc(4);

ioctl(openSync(process.argv[2]!, 'r'), SHUTDOWN, FULL_SYNC);
