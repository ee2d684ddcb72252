/**
 * What a mount is about to do, checked before anything is changed: every path made absolute and free of symbolic
 * links, nothing inside anything else that it would hide or feed back into.
 */
import {
	accessSync,
	constants,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	realpathSync,
	rmdirSync,
	rmSync,
	statSync,
	unlinkSync,
	writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import createDebug from 'debug';
import type { MaximumSize } from '../control/messages.ts';
import type { StoragePolicy } from '../diff/diff-area-types.ts';
import { discardStorage } from '../diff/repair.ts';
import { messageOf, missing, refused } from '../errors.ts';
import { checkTransport, type Transport } from '../fuse/transport.ts';
import { findMount } from '../system/mountinfo.ts';
import { eventsPath } from './event-log.ts';
import { isStorage } from './find-storage.ts';
import { loopDevicesOverImage, majorMinorsOf, mountPointsOf } from './loop-mounts.ts';
import { isWithin } from './mount-users.ts';
import { isAlive, registeredVolumes, type VolumePaths } from './runtime-directory.ts';

export { COPIES_MAX } from '../diff/diff-area-types.ts';
export { TRANSPORTS } from '../fuse/transport.ts';

const log = createDebug('noonmark:service:plan');

export interface MountRequest {
	readonly image: string;
	readonly mountpoint: string;
	readonly data: string | undefined;
	readonly live: string | undefined;
	readonly storage: string | undefined;
	/** Undefined: as it was, or the default. */
	readonly maximumSize: MaximumSize | undefined;
	readonly maximumCopies: number;
	readonly policy: StoragePolicy;
	readonly readOnly: boolean;
	readonly allowOther: boolean;
	/** For the metadata of the shadow copies that are browsed. */
	readonly cacheBytes: number;
	/** False: copies are shown as they lie on the disk. */
	readonly replayJournal: boolean;
	readonly transport: Transport;
}

type MountOptions = Omit<MountRequest, 'image' | 'mountpoint' | 'data' | 'live' | 'storage'>;

export interface MountPlan extends MountOptions {
	readonly paths: VolumePaths;
	/** What was made for it: the storage, the file for the live device. */
	readonly made: readonly string[];
}

/** The plan of a mount with a live device. */
export type LiveMountPlan = MountPlan & { readonly paths: { readonly live: string } };

export const hasLiveDevice = (plan: MountPlan): plan is LiveMountPlan => plan.paths.live !== null;

/** Errors: refused `not-root` for what an ordinary user may not do. */
export function checkPrivilege({ readOnly, data, live }: Pick<MountRequest, 'readOnly' | 'data' | 'live'>): void {
	if (process.getuid!() === 0) return;
	if (readOnly && data === undefined && live === undefined) return;
	const looking = 'an ordinary user can look at it with --read-only, without --data and --live';
	throw refused('not-root', `mounting a volume for use needs root: try again with sudo; ${looking}`);
}

/**
 * Checks a request. Makes the storage directory and the file that the live device is mounted over, where they are not
 * there; for an ordinary user, and where the storage can only be read, it makes nothing, and plans no live device. Errors:
 * missing `no-such-image`, `no-mount-point`, `no-such-storage`; refused with the reason.
 */
export function planMount(request: MountRequest): MountPlan {
	const image = realPath(request.image, 'no-such-image', 'there is no such image');
	checkImageIsFree(image);
	const mountpoint = emptyDirectory(request.mountpoint, 'the mount point');
	const data = request.data === undefined ? null : emptyDirectory(request.data, 'the data directory');
	const storage = madeOf(request.storage ?? `${image}.noonmark`);
	const live = request.live === undefined ? join(storage, 'live') : madeOf(request.live);
	const { maximumSize, maximumCopies, policy, readOnly, allowOther, cacheBytes, transport, replayJournal } = request;
	const options = { maximumSize, maximumCopies, policy, readOnly, allowOther, cacheBytes, transport, replayJournal };
	checkTransport(transport, allowOther);
	const isReadOnlyPlace = liesOnReadOnly(storage);
	if (isReadOnlyPlace && !(readOnly && data === null && request.live === undefined)) {
		const wayOn = 'with --read-only, without --data and --live, it can be looked at';
		throw refused('storage-read-only', `${storage}: lies on a file system that is mounted read-only; ${wayOn}`);
	}
	if (process.getuid!() !== 0 || isReadOnlyPlace) {
		const paths = { image, mountpoint, live: null, data: null, storage };
		checkNesting(paths);
		if (request.storage !== undefined && !isStorage(storage))
			throw missing('no-such-storage', `${storage}: there is no storage here that you can read`);
		return { paths, made: [], ...options };
	}
	checkStorageIsFree(storage);
	const paths = { image, mountpoint, live, data, storage };
	checkNesting(paths);
	const made = [storage, live].filter((path) => !existsSync(path));
	makeStorage(storage);
	makeLiveFile(live);
	return { paths, made, ...options };
}

/** After a mount that failed: nothing of what was made for it stays, unless something is in it. */
export function undoPlan({ paths: { storage, live }, made }: MountPlan): void {
	try {
		if (live !== null && made.includes(live)) unlinkSync(live);
		if (!made.includes(storage)) return;
		discardStorage(storage);
		rmSync(eventsPath(storage), { force: true });
		rmdirSync(storage);
	} catch (error) {
		log('%s: %s', storage, messageOf(error));
	}
}

/** Errors: refused `image-in-use` with who uses the image. */
function checkImageIsFree(image: string): void {
	const inUse = (by: string) => refused('image-in-use', `${image}: in use by ${by}`);
	const running = registeredVolumes().find((registered) => registered.volume.image === image && isAlive(registered));
	if (running) throw inUse(`Noonmark already (pid ${running.volume.pid}, mounted on ${running.volume.mountpoint})`);
	const [loop] = loopDevicesOverImage(image);
	if (loop)
		throw inUse(`${loop.path}${mountedOn(loop.majorMinors)}; detach it first, or its writes would pass Noonmark by`);
	if (!statSync(image).isBlockDevice()) return;
	const majorMinors = blockDeviceNumbers(image);
	if (mountPointsOf(majorMinors).length > 0)
		throw inUse(`a mount of the device itself${mountedOn(majorMinors)}; unmount it first`);
}

/** Errors: refused `storage-in-use` where another image has it. */
function checkStorageIsFree(storage: string): void {
	const running = registeredVolumes().find(
		(registered) => registered.volume.storage === storage && isAlive(registered),
	);
	if (!running || running.volume.live === null) return;
	const { image, pid } = running.volume;
	throw refused('storage-in-use', `${storage}: is the storage of ${image} (pid ${pid}); say another with --storage`);
}

const mountedOn = (majorMinors: readonly string[]) => {
	const places = mountPointsOf(majorMinors);
	return places.length > 0 ? `, mounted on ${places.join(', ')}` : '';
};

function blockDeviceNumbers(devicePath: string): string[] {
	const name = basename(devicePath);
	if (existsSync(`/sys/block/${name}`)) return majorMinorsOf(name);
	const numbers = `/sys/class/block/${name}/dev`;
	return existsSync(numbers) ? [readFileSync(numbers, 'utf8').trimEnd()] : [];
}

/** The real path of a directory that something is to be mounted on. */
function emptyDirectory(path: string, what: string): string {
	if (findMount(resolve(path)))
		throw refused('mount-point-busy', `${resolve(path)}: something is mounted there already`);
	const directory = realPath(path, 'no-mount-point', `${what} does not exist; make it first: mkdir -p ${path}`);
	if (!statSync(directory).isDirectory())
		throw refused('wrong-mount-point', `${directory}: ${what} is not a directory`);
	if (findMount(directory)) throw refused('mount-point-busy', `${directory}: something is mounted there already`);
	const [first] = readdirSync(directory);
	if (first !== undefined) {
		throw refused(
			'mount-point-not-empty',
			`${directory}: ${what} is not empty (it has ${first}); its files would be hidden`,
		);
	}
	return directory;
}

/** The real path of something that may not be there yet, in a directory that is. */
function madeOf(path: string): string {
	const absolute = resolve(path);
	if (existsSync(absolute)) return realpathSync(absolute);
	return join(realPath(dirname(absolute), 'no-such-directory', 'there is no such directory'), basename(absolute));
}

function realPath(path: string, code: string, message: string): string {
	try {
		return realpathSync(path);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw missing(code, `${path}: ${message}`);
		throw error;
	}
}

function checkNesting({ image, mountpoint, live, data, storage }: VolumePaths): void {
	const mounts = data === null ? [mountpoint] : [mountpoint, data];
	for (const mount of mounts) {
		for (const [path, what] of [
			[image, 'the image'],
			[storage, 'the storage'],
			[live, 'the live device'],
		] as const) {
			if (path !== null && isWithin(path, mount))
				throw refused('nested-paths', `${path}: ${what} may not lie inside ${mount}, which is to be mounted over`);
		}
	}
	if (data !== null && (isWithin(data, mountpoint) || isWithin(mountpoint, data))) {
		throw refused(
			'nested-paths',
			`${mountpoint} and ${data}: neither of the mount point and the data directory may lie inside the other`,
		);
	}
}

/** Whether nothing can be written where the storage is, or would be. */
function liesOnReadOnly(storage: string): boolean {
	try {
		accessSync(existsSync(storage) ? storage : dirname(storage), constants.W_OK);
		return false;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === 'EROFS';
	}
}

function makeStorage(storage: string): void {
	const stats = statSync(storage, { throwIfNoEntry: false });
	if (!stats) mkdirSync(storage, { mode: 0o700 });
	else if (!stats.isDirectory()) throw refused('storage-no-directory', `${storage}: the storage is no directory`);
}

function makeLiveFile(live: string): void {
	const stats = statSync(live, { throwIfNoEntry: false });
	if (!stats) {
		writeFileSync(live, '', { mode: 0o600 });
		return;
	}
	if (!stats.isFile() || stats.size > 0) {
		throw refused(
			'live-not-empty',
			`${live}: the live device is mounted over an empty file; this is ${stats.isFile() ? `one of ${stats.size} bytes; remove it, or name another with --live` : 'no file'}`,
		);
	}
}
