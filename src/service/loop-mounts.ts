/** Who uses a file as a disk: the loop devices over it, and what is mounted from them. */
import { closeSync, openSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { type MountEntry, readMountInfo } from '../system/mountinfo.ts';
import { isWithin } from './mount-users.ts';

const SYS_BLOCK = '/sys/block';

export interface LoopDevice {
	/** `/dev/loop3` */
	readonly path: string;
	/** `major:minor` of the device and of its partitions. */
	readonly majorMinors: readonly string[];
}

/** A mounted file system, with the number of its device: its mount point may be another's a moment later. */
export interface DeviceMount {
	readonly mountPoint: string;
	/** `7:3` */
	readonly majorMinor: string;
}

/**
 * The loop devices whose backing file has this path (absolute, without symbolic links). Asks nothing of the file, so that
 * it may be a live device.
 */
export function loopDevicesOver(filePath: string): LoopDevice[] {
	return loopDevices().flatMap(({ name, backingFile }) => (backingFile === filePath ? [loopDevice(name)] : []));
}

/**
 * Runs `action` with the loop devices over this file held open. One that nobody holds is given up with its last mount, and
 * the next losetup, of whatever file, gets its number: what is done to it by its number then is done to another volume.
 */
export async function withLoopDevicesOver(
	filePath: string,
	action: (held: readonly LoopDevice[]) => Promise<void>,
): Promise<void> {
	const opened = loopDevicesOver(filePath).flatMap(({ path }) => {
		const fd = tryOpen(path);
		return fd === undefined ? [] : [{ path, fd }];
	});
	try {
		const isHeld = ({ path }: LoopDevice) => opened.some((device) => device.path === path);
		await action(loopDevicesOver(filePath).filter(isHeld));
	} finally {
		for (const { fd } of opened) closeSync(fd);
	}
}

/**
 * The loop devices over an image, by whichever of its names. Looks at files of the image's own file system only: others
 * may be such as do not answer.
 */
export function loopDevicesOverImage(image: string): LoopDevice[] {
	const { dev, ino } = statSync(image, { bigint: true });
	const mounts = readMountInfo();
	const isOnDevice = (path: string) => {
		const mount = mountOf(path, mounts);
		return mount !== undefined && deviceNumber(mount.majorMinor) === dev;
	};
	const isImage = (path: string) => path === image || (isOnDevice(path) && inodeOf(path) === ino);
	return loopDevices().flatMap(({ name, backingFile }) => (isImage(backingFile) ? [loopDevice(name)] : []));
}

function loopDevices(): { name: string; backingFile: string }[] {
	return readdirSync(SYS_BLOCK)
		.filter((name) => name.startsWith('loop'))
		.flatMap((name) => {
			const backingFile = readText(`${SYS_BLOCK}/${name}/loop/backing_file`);
			return backingFile === undefined ? [] : [{ name, backingFile }];
		});
}

const loopDevice = (name: string): LoopDevice => ({ path: `/dev/${name}`, majorMinors: majorMinorsOf(name) });

/** The mount that a path, absolute and without symbolic links, leads into. */
function mountOf(path: string, mounts: readonly MountEntry[]): MountEntry | undefined {
	const above = mounts.filter(({ mountPoint }) => isWithin(path, mountPoint.toString()));
	return above.reduce<MountEntry | undefined>(
		(best, entry) => (best && best.mountPoint.length > entry.mountPoint.length ? best : entry),
		undefined,
	);
}

/** The st_dev of files in a file system with this `major:minor`: makedev(3). */
export function deviceNumber(majorMinor: string): bigint {
	const [major, minor] = majorMinor.split(':').map(BigInt) as [bigint, bigint];
	return ((major & 0xfffn) << 8n) | ((major & ~0xfffn) << 32n) | (minor & 0xffn) | ((minor & ~0xffn) << 12n);
}

/** The numbers of a block device and of its partitions, by its name below /sys/block. */
export function majorMinorsOf(name: string): string[] {
	const directory = realpathSync(`${SYS_BLOCK}/${name}`);
	const partitions = readdirSync(directory).filter((entry) => entry.startsWith(name));
	return ['', ...partitions].flatMap((entry) => readText(`${directory}/${entry}/dev`) ?? []);
}

/** What is mounted from devices with these numbers: one mount for each file system. */
function mountsOf(majorMinors: readonly string[]): DeviceMount[] {
	const byDevice = new Map<string, DeviceMount>();
	for (const { majorMinor, mountPoint } of readMountInfo()) {
		if (majorMinors.includes(majorMinor) && !byDevice.has(majorMinor))
			byDevice.set(majorMinor, { majorMinor, mountPoint: mountPoint.toString() });
	}
	return [...byDevice.values()];
}

/** Where devices with these numbers are mounted: one mount point for each file system. */
export const mountPointsOf = (majorMinors: readonly string[]): string[] =>
	mountsOf(majorMinors).map(({ mountPoint }) => mountPoint);

/** What is mounted from the loop devices over this file: one mount for each file system. */
export function mountsFrom(filePath: string): DeviceMount[] {
	const numbers = () => loopDevicesOver(filePath).flatMap(({ majorMinors }) => majorMinors);
	const mounts = mountsOf(numbers());
	// A device that was given up between the two looks may be over another file by the second.
	const remaining = numbers();
	return mounts.filter(({ majorMinor }) => remaining.includes(majorMinor));
}

/** Undefined where it cannot be told: the file was deleted, or is not for our eyes. */
function inodeOf(path: string): bigint | undefined {
	try {
		return statSync(path, { bigint: true }).ino;
	} catch {
		return undefined;
	}
}

/** Undefined where there is no such device any more. */
function tryOpen(path: string): number | undefined {
	try {
		return openSync(path, 'r');
	} catch {
		return undefined;
	}
}

function readText(path: string): string | undefined {
	try {
		return readFileSync(path, 'utf8').trimEnd();
	} catch {
		return undefined;
	}
}
