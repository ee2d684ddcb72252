/**
 * Mounting for who is not root: fusermount3 (of the package fuse3, set-user-ID root) mounts, and sends the open /dev/fuse
 * back over a socket whose number it finds in _FUSE_COMMFD.
 */
import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { ioError, refused, unsupported } from '../errors.ts';
import { receiveDescriptor, setNonBlocking, socketPair } from '../system/libc.ts';

const PROGRAM = 'fusermount3';
const TIMEOUT_MS = 10_000;

export interface UserMountOptions {
	readonly mountPoint: string;
	readonly source: string;
	/** Without the `fuse.` */
	readonly subtype: string;
	readonly readOnly: boolean;
	readonly allowOther: boolean;
}

/**
 * Mounts; returns /dev/fuse, non-blocking. The mount point must belong to the user.
 * Errors: unsupported `no-fusermount`; refused `not-permitted` with what fusermount3 said.
 */
export function mountAsUser({ mountPoint, source, subtype, readOnly, allowOther }: UserMountOptions): number {
	const options = [
		readOnly ? 'ro' : 'rw',
		'nosuid',
		'nodev',
		'noatime',
		'default_permissions',
		`fsname=${escaped(source)}`,
		`subtype=${subtype}`,
		...(allowOther ? ['allow_other'] : []),
	];
	const [ours, theirs] = socketPair();
	try {
		runFusermount(['-o', options.join(','), '--', mountPoint], theirs);
		const fd = receiveDescriptor(ours);
		if (fd === undefined) throw ioError('mount-failed', `${mountPoint}: ${PROGRAM} has sent no descriptor`);
		setNonBlocking(fd);
		return fd;
	} finally {
		closeSync(ours);
		closeSync(theirs);
	}
}

/** Errors: as mountAsUser; refused `mount-busy`. */
export function unmountAsUser(mountPoint: string, options: { readonly detach: boolean }): void {
	runFusermount(['-u', ...(options.detach ? ['-z'] : []), '--', mountPoint]);
}

/** `socket` becomes descriptor 3 of the program. */
function runFusermount(args: readonly string[], socket?: number): void {
	const result = spawnSync(PROGRAM, args, {
		env: { ...process.env, LC_ALL: 'C', _FUSE_COMMFD: '3' },
		stdio: ['ignore', 'ignore', 'pipe', ...(socket === undefined ? [] : [socket])],
		timeout: TIMEOUT_MS,
		killSignal: 'SIGKILL',
		encoding: 'utf8',
	});
	if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
		throw unsupported('no-fusermount', `${PROGRAM}: not found; whoever is not root mounts with it: install fuse3`);
	}
	if (result.error) throw ioError('mount-failed', `${PROGRAM}: ${result.error.message}`, result.error);
	if (result.status === 0) return;
	const said = result.stderr.trim().replaceAll('\n', ' ');
	throw refused(said.endsWith('busy') ? 'mount-busy' : 'not-permitted', said);
}

const escaped = (text: string) => text.replace(/[\\,]/g, '\\$&');
