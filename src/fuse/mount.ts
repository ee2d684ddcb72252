import { closeSync, constants, openSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { ioError, messageOf, missing, type NoonmarkError, refused, unsupported } from '../errors.ts';
import { MNT_DETACH, MS_NOATIME, MS_NODEV, MS_NOSUID, MS_RDONLY, mount, SystemError, umount2 } from '../system/libc.ts';
import { findMount, type MountEntry, mountsAt, readMountInfo } from '../system/mountinfo.ts';
import { mountAsUser, unmountAsUser } from './fusermount.ts';
import { MAX_CONTENT_BYTES } from './protocol.ts';

/** The subtype tells our mounts from others' in /proc/self/mountinfo. */
export const SUBTYPE = 'noonmark';
export const TYPE = `fuse.${SUBTYPE}`;

export interface MountOptions {
	/** An existing directory, or an existing regular file for a file system that is one file. */
	readonly mountPoint: string;
	readonly root: 'directory' | 'file';
	/** What mount(8) and df show as the device. */
	readonly source: string;
	readonly readOnly: boolean;
	/** Lets users other than the one who mounts in. */
	readonly allowOther: boolean;
}

export interface FuseMount {
	/** /dev/fuse, non-blocking: for sessions and notifications. Closing it without unmounting ends the mount's service. */
	readonly fd: number;
	/** Absolute, without symbolic links. */
	readonly mountPoint: string;
	readonly source: string;
	/** `major:minor` of the mount: names its connection and its backing device in sysfs. */
	readonly majorMinor: string;
}

/**
 * Mounts a file system that this process will serve; requests wait until a session runs on the descriptor. The kernel
 * checks permissions; set-user-id bits and device nodes in it have no effect. Who is not root mounts through fusermount3.
 * Errors: `missing` (`no-mount-point`), `unsupported` (`no-fuse`), `refused` (`mount-point-busy`, `wrong-mount-point`,
 * `not-permitted`), `io` (`mount-failed`).
 */
export function mountFuse(options: MountOptions): FuseMount {
	const mountPoint = checkMountPoint(options);
	const fd = isRoot() ? mountAsRoot(mountPoint, options) : mountAsUser({ ...options, mountPoint, subtype: SUBTYPE });
	const entry = findMount(mountPoint);
	if (entry?.type === TYPE) return { fd, mountPoint, source: options.source, majorMinor: entry.majorMinor };
	closeSync(fd);
	throw ioError('mount-failed', `${mountPoint}: mounted, but not to be found in mountinfo`);
}

const isRoot = () => process.geteuid!() === 0;

function mountAsRoot(mountPoint: string, options: MountOptions): number {
	const fd = openDevice();
	try {
		const rootMode = options.root === 'directory' ? '40000' : '100000';
		const flags = MS_NOSUID | MS_NODEV | MS_NOATIME | (options.readOnly ? MS_RDONLY : 0);
		const data = `fd=${fd},rootmode=${rootMode},user_id=0,group_id=0,default_permissions${options.allowOther ? ',allow_other' : ''}`;
		mount(options.source, mountPoint, TYPE, flags, data);
		return fd;
	} catch (error) {
		closeSync(fd);
		throw error instanceof SystemError ? mountError(mountPoint, error) : error;
	}
}

/** One of our mounts. */
export type MountedFrom = Pick<FuseMount, 'mountPoint' | 'source'>;

/**
 * Tells our mounts of a source (an image) from others. Once a mount is gone, the next one may have its mount point and
 * its numbers; but nobody else serves the same image.
 */
export const isOneFrom = (source: string) => {
	const wanted = Buffer.from(source);
	return (entry: MountEntry) => entry.type === TYPE && entry.source.equals(wanted);
};

/** Whether it is there, on top or below what somebody else has mounted over it. */
export const isMounted = ({ mountPoint, source }: MountedFrom) => mountsAt(mountPoint).some(isOneFrom(source));

/**
 * Ends a mount; every session on it then returns. `detach` takes it out of the tree at once and lets those go on who have
 * files open there. Never call it from a thread that serves the mount. Not mounted any more is no error. What somebody
 * else has mounted there is left alone: where it lies over ours, so is ours. Errors: `refused` (`mount-busy`), also for
 * that where `detach` is not set; `io` (`unmount-failed`).
 */
export function unmount({ mountPoint, source }: MountedFrom, options: { readonly detach: boolean }): void {
	if (!options.detach) checkNotCovered(mountPoint, isOneFrom(source));
	const top = findMount(mountPoint);
	if (!top || !isOneFrom(source)(top)) return;
	if (!isRoot()) {
		unmountAsUser(mountPoint, options);
		return;
	}
	try {
		umount2(mountPoint, options.detach ? MNT_DETACH : 0);
	} catch (error) {
		const code = error instanceof SystemError ? error.code : '';
		if (code === 'EINVAL' || code === 'ENOENT') return;
		if (code === 'EBUSY') throw refused('mount-busy', `${mountPoint}: in use, so it cannot be unmounted`);
		throw ioError('unmount-failed', `${mountPoint}: cannot be unmounted: ${messageOf(error)}`, error);
	}
}

/** Errors: `refused` (`mount-busy`) where something else is mounted over the mount that is meant. */
export function checkNotCovered(mountPoint: string, isMeant: (entry: MountEntry) => boolean): void {
	const mounts = mountsAt(mountPoint);
	const top = mounts.at(-1);
	if (!top || !mounts.some(isMeant) || isMeant(top)) return;
	throw refused(
		'mount-busy',
		`${mountPoint}: ${top.type} is mounted over it; unmount that first: umount ${mountPoint}`,
	);
}

/**
 * Errors: `refused` (`mount-busy`) where a directory of a mount from this source is mounted elsewhere, too: the file system
 * would go on there.
 */
export function checkNoPartMounted(source: string): void {
	const parts = readMountInfo().filter((entry) => isOneFrom(source)(entry) && entry.root.toString() !== '/');
	if (parts.length === 0) return;
	const mountPoints = parts.map(({ mountPoint }) => mountPoint.toString());
	throw refused(
		'mount-busy',
		`${source}: a part of it is mounted on ${mountPoints.join(', ')}; unmount that first: umount ${mountPoints.join(' ')}`,
	);
}

/**
 * Raises the read-ahead of a mount from 128 KiB to the largest request: a quarter more on sequential reads. False where
 * sysfs does not let us (not root, or read-only in a container).
 */
export function raiseReadAhead(majorMinor: string): boolean {
	try {
		writeFileSync(`/sys/class/bdi/${majorMinor}/read_ahead_kb`, String(MAX_CONTENT_BYTES / 1024));
		return true;
	} catch {
		return false;
	}
}

/** The real path of the mount point, found fit for a mount. */
export function checkMountPoint({ mountPoint, root }: Pick<MountOptions, 'mountPoint' | 'root'>): string {
	const path = resolveMountPoint(mountPoint);
	const stats = attempt(mountPoint, () => statSync(path));
	if (root === 'directory' ? !stats.isDirectory() : !stats.isFile()) {
		throw refused('wrong-mount-point', `${path}: is not a ${root === 'file' ? 'regular file' : root}`);
	}
	return path;
}

/**
 * Looks into the mount table before it looks at the path: where a mount of ours is there already, whose service hangs or
 * is this very process, even a stat of it would wait for ever.
 */
function resolveMountPoint(mountPoint: string): string {
	const absolute = resolve(mountPoint);
	const inParent = attempt(mountPoint, () => join(realpathSync(dirname(absolute)), basename(absolute)));
	if (findMount(inParent)?.type === TYPE) throw alreadyMounted(inParent);
	const path = attempt(mountPoint, () => realpathSync(inParent));
	if (findMount(path)?.type === TYPE) throw alreadyMounted(path);
	return path;
}

function attempt<T>(path: string, action: () => T): T {
	try {
		return action();
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === 'ENOENT') throw missing('no-mount-point', `${path}: there is no such file or directory`);
		if (code === 'ENOTDIR') throw refused('wrong-mount-point', `${path}: a part of this path is not a directory`);
		throw ioError('mount-failed', `${path}: cannot be used as a mount point: ${messageOf(error)}`, error);
	}
}

const alreadyMounted = (path: string) =>
	refused(
		'mount-point-busy',
		`${path}: something is mounted there already (perhaps by a service that has died); unmount it first: umount ${path}`,
	);

function openDevice(): number {
	try {
		return openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === 'EACCES' || code === 'EPERM') throw notPermitted('/dev/fuse cannot be opened');
		throw unsupported(
			'no-fuse',
			`/dev/fuse: ${code}; load the module (modprobe fuse), or start the container with --device /dev/fuse`,
		);
	}
}

const notPermitted = (what: string) =>
	refused('not-permitted', `${what}: mounting needs root (in a container: --cap-add SYS_ADMIN --device /dev/fuse)`);

function mountError(mountPoint: string, error: SystemError): NoonmarkError {
	switch (error.code) {
		case 'EPERM':
		case 'EACCES':
			return notPermitted(`${mountPoint}: ${error.code}`);
		case 'EBUSY':
			return alreadyMounted(mountPoint);
		case 'ENODEV':
			return unsupported('no-fuse', 'this kernel has no FUSE file system; load it: modprobe fuse');
		default:
			return ioError('mount-failed', `${mountPoint}: cannot be mounted: ${error.message}`, error);
	}
}
