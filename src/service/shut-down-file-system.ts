/**
 * A program of its own, since it may have to wait for the mount: node shut-down-file-system.js MOUNTPOINT DEVICE
 *
 * Writes a file system out and ends it, though it is in use: whoever still uses it gets EIO, and its disk needs no
 * recovery. ext4, XFS and others know this ioctl: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_DEFAULT. DEVICE is its st_dev:
 * where it was unmounted a moment ago, MOUNTPOINT is in another file system, perhaps the system's own.
 */
import { fstatSync, openSync } from 'node:fs';
import { ioctl } from '../system/libc.ts';

const SHUTDOWN = 0x8004587d; // _IOR('X', 125, __u32)
const FULL_SYNC = Buffer.alloc(4);

const [mountPoint, device] = process.argv.slice(2) as [string, string];
const fd = openSync(mountPoint, 'r');
const found = fstatSync(fd, { bigint: true }).dev;
if (found !== BigInt(device)) throw new Error(`${mountPoint}: is on device ${found} by now, not on ${device}`);
ioctl(fd, SHUTDOWN, FULL_SYNC);
