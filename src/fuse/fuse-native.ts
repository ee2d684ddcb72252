/**
 * The other transport: the npm package fuse-native, over libfuse 2. It is there to compare with, and for who must not
 * use our own. It is slower, and the kernel sees less of the files through it (see the README); it serves from the event loop
 * of the thread that mounts, which must be the main one, and it stays in the process for good.
 */
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { ioError, messageOf, unsupported } from '../errors.ts';
import { EIO, EROFS } from './errno.ts';
import { checkMountPoint, isMounted, type MountedFrom, type MountOptions, SUBTYPE } from './mount.ts';
import type { NodeId } from './node-id.ts';
import { PathClient, RequestError } from './path-client.ts';
import type { RequestHandler } from './session.ts';

const MOUNTED_MS_MAX = 10_000;
const GONE_POLL_MS = 200;
const NANOSEC_PER_MS = 1e6;

export interface FuseNativeMount {
	/** Absolute, without symbolic links. */
	readonly mountPoint: string;
	readonly source: string;
	/** Resolves when it is unmounted, by whomever. */
	readonly ended: Promise<void>;
}

/** As much of the package as is used; callbacks take 0 or minus errno first. */
type Reply = (errno: number, ...values: unknown[]) => void;
type Operations = Record<string, (...args: never[]) => void>;
interface FuseNative {
	new (mountPoint: string, operations: Operations, options: object): { mount(done: (error?: Error) => void): void };
}

/** Whether the package and libfuse are there. */
export const hasFuseNative = () => load() !== undefined;

/**
 * Mounts, read-only, and serves until it is unmounted (see `unmount`). For the user who mounts alone: the kernel does not
 * get to know of ACLs, so others would see what they must not. Errors: unsupported `no-fuse-native`; those of
 * mountFuse.
 */
export async function mountFuseNative(
	handler: RequestHandler,
	options: Pick<MountOptions, 'mountPoint' | 'source'>,
): Promise<FuseNativeMount> {
	const Fuse = load();
	if (!Fuse) {
		const how = 'install libfuse2 (Debian) and the npm package fuse-native, or leave --transport away';
		throw unsupported('no-fuse-native', `fuse-native cannot be loaded: ${how}`);
	}
	const mountPoint = checkMountPoint({ mountPoint: options.mountPoint, root: 'directory' });
	const fuse = new Fuse(mountPoint, operationsOf(new PathClient(handler)), {
		defaultPermissions: true,
		fsname: options.source.replace(/[\\,]/g, '\\$&'),
		// It hands options on as they are, and has no name for these.
		subtype: `${SUBTYPE},ro,nosuid,nodev,noatime`,
		timeout: false, // a timer for every request costs a tenth
	});
	await new Promise<void>((resolve, reject) => {
		const failed = (why: string) => reject(ioError('mount-failed', `${mountPoint}: fuse-native cannot mount: ${why}`));
		const timer = setTimeout(() => failed(`not within ${MOUNTED_MS_MAX / 1000} s`), MOUNTED_MS_MAX);
		fuse.mount((error) => {
			clearTimeout(timer);
			if (error) failed(messageOf(error));
			else resolve();
		});
	});
	const mount = { mountPoint, source: options.source };
	return { ...mount, ended: untilGone(mount) };
}

/** The package does not notice it. */
async function untilGone(mount: MountedFrom): Promise<void> {
	while (isMounted(mount)) await delay(GONE_POLL_MS);
}

function load(): FuseNative | undefined {
	try {
		return createRequire(import.meta.url)('fuse-native') as FuseNative;
	} catch {
		return undefined;
	}
}

/** The package's callbacks, each answered by a request or two to the tree. */
function operationsOf(client: PathClient): Operations {
	const open = new Map<number, NodeId>();
	let lastHandle = 0;
	const refuse = (...args: unknown[]) => (args.at(-1) as Reply)(-EROFS);
	return {
		getattr: (path: string, reply: Reply) => answer(reply, () => [statOf(client, client.resolve(path))]),
		readdir: (path: string, reply: Reply) => answer(reply, () => [client.list(client.resolve(path)).map(String)]),
		open: (path: string, _flags: number, reply: Reply) =>
			answer(reply, () => {
				open.set(++lastHandle, client.resolve(path));
				return [lastHandle];
			}),
		release: (_path: string, handle: number, reply: Reply) => {
			open.delete(handle);
			reply(0);
		},
		/** Its callback takes minus errno or the number of bytes. */
		read: (path: string, handle: number, into: Buffer, lengthBytes: number, byteOffset: number, reply: Reply) => {
			try {
				const node = open.get(handle) ?? client.resolve(path);
				reply(client.read(node, byteOffset, into.subarray(0, lengthBytes)));
			} catch (error) {
				reply(-errnoOf(error));
			}
		},
		readlink: (path: string, reply: Reply) => answer(reply, () => [String(client.readLink(client.resolve(path)))]),
		getxattr: (path: string, name: string, _position: number, reply: Reply) =>
			answer(reply, () => [client.getXattr(client.resolve(path), name)]),
		listxattr: (path: string, reply: Reply) =>
			answer(reply, () => [client.listXattrs(client.resolve(path)).map(String)]),
		statfs: (path: string, reply: Reply) => answer(reply, () => [statfsOf(client, client.resolve(path))]),
		...Object.fromEntries(WRITES.map((name) => [name, refuse])),
	};
}

const WRITES = ['mkdir', 'unlink', 'rmdir', 'rename', 'create', 'mknod', 'truncate', 'chmod', 'chown', 'utimens'];

/** An exception in a callback would end the mount. (Nothing in `reply` throws: it only queues the answer.) */
function answer(reply: Reply, action: () => unknown[]): void {
	try {
		reply(0, ...action());
	} catch (error) {
		reply(-errnoOf(error));
	}
}

const errnoOf = (error: unknown) => (error instanceof RequestError ? error.errno : EIO);

function statOf(client: PathClient, node: NodeId) {
	const of = client.attributes(node);
	const timeMs = (sec: number, nsec: number) => sec * 1000 + Math.floor(nsec / NANOSEC_PER_MS);
	return {
		mode: of.mode,
		nlink: of.linkCount,
		uid: of.uid,
		gid: of.gid,
		size: of.sizeBytes,
		blocks: of.blocks512,
		blksize: of.blockSizeBytes,
		rdev: of.device,
		atime: timeMs(of.atimeSec, of.atimeNsec),
		mtime: timeMs(of.mtimeSec, of.mtimeNsec),
		ctime: timeMs(of.ctimeSec, of.ctimeNsec),
	};
}

function statfsOf(client: PathClient, node: NodeId) {
	const of = client.statfs(node);
	return {
		bsize: of.blockSizeBytes,
		frsize: of.fragmentSizeBytes,
		blocks: of.blocks,
		bfree: of.freeBlocks,
		bavail: of.availableBlocks,
		files: of.files,
		ffree: of.freeFiles,
		favail: of.freeFiles,
		namemax: of.nameMaxBytes,
	};
}
