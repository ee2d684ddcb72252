/**
 * What is mounted now: one directory for each volume service, with its control socket and the paths it stands on.
 * A service that was killed leaves its directory behind; that is how the next mount finds what to clean up.
 */
import { createHash } from 'node:crypto';
import {
	existsSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	realpathSync,
	renameSync,
	rmdirSync,
	rmSync,
	writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isListening } from '../control/client.ts';
import { refused } from '../errors.ts';
import { findMount } from '../system/mountinfo.ts';

/** Absolute paths without symbolic links. */
export interface VolumePaths {
	readonly image: string;
	readonly mountpoint: string;
	/** null where the volume is mounted to look at only */
	readonly live: string | null;
	readonly data: string | null;
	readonly storage: string;
}

export interface RunningVolume extends VolumePaths {
	readonly pid: number;
	/** Tells this process from a later one with the same number. */
	readonly processStamp: string;
	readonly readOnly: boolean;
}

export interface RegisteredVolume {
	readonly volume: RunningVolume;
	readonly directory: string;
	readonly socketPath: string;
}

/** For root's volumes. Each user has a place of their own for what they look at. */
const ROOT_DIRECTORY = '/run/noonmark';

const SETTLING_MS_MAX = 10_000;

function baseDirectory(): string {
	const uid = process.getuid!();
	if (uid === 0) return ROOT_DIRECTORY;
	const { XDG_RUNTIME_DIR } = process.env;
	return XDG_RUNTIME_DIR ? join(XDG_RUNTIME_DIR, 'noonmark') : `/tmp/noonmark-${uid}`;
}

/** Makes the directory that all of this is in. Errors: refused `unsafe-directory` where others could have put something in. */
export function makeBaseDirectory(): void {
	const path = baseDirectory();
	mkdirSync(path, { recursive: true, mode: 0o700 });
	const stats = lstatSync(path);
	if (stats.isDirectory() && stats.uid === process.getuid!() && (stats.mode & 0o022) === 0) return;
	throw refused('unsafe-directory', `${path}: is not a directory that you alone may write to; remove it`);
}

/** The directory of the volume with this image. */
export function volumeDirectory(image: string): string {
	return join(baseDirectory(), createHash('sha256').update(image).digest('hex').slice(0, 16));
}

/** The control socket of a service: no other has one of that name, so to remove it takes away nobody else's. */
export const socketPathIn = (directory: string, { pid }: Pick<RunningVolume, 'pid'>) =>
	join(directory, `control-${pid}.sock`);
const statePathIn = (directory: string) => join(directory, 'volume.json');

/** What lies beside the directories of the volumes. */
export function filesInBase(ending: string): string[] {
	const base = baseDirectory();
	return readdirSync(base).flatMap((name) => (name.endsWith(ending) ? [join(base, name)] : []));
}

/**
 * Puts a volume on record, so that commands find it. Its predecessor may be about to remove the directory, which it does
 * where the directory is empty only.
 */
export function register(volume: RunningVolume): RegisteredVolume {
	const directory = volumeDirectory(volume.image);
	const path = statePathIn(directory);
	makeBaseDirectory();
	while (!attempt(() => writeFileSync(`${path}.new`, JSON.stringify(volume), { mode: 0o600 }), 'ENOENT'))
		mkdirSync(directory, { recursive: true, mode: 0o700 });
	renameSync(`${path}.new`, path);
	return { volume, directory, socketPath: socketPathIn(directory, volume) };
}

/** Takes a volume off record, unless it is another's by now. From its first step on a successor may move in. */
export function unregister(volume: RunningVolume): void {
	const directory = volumeDirectory(volume.image);
	const recorded = readState(directory);
	if (recorded?.pid !== volume.pid || recorded.processStamp !== volume.processStamp) return;
	rmSync(socketPathIn(directory, volume), { force: true });
	rmSync(statePathIn(directory), { force: true });
	attempt(() => rmdirSync(directory), 'ENOTEMPTY', 'ENOENT');
}

/** False where it failed with one of these codes. Errors: all others. */
function attempt(action: () => void, ...codes: string[]): boolean {
	try {
		action();
		return true;
	} catch (error) {
		if (codes.includes((error as NodeJS.ErrnoException).code!)) return false;
		throw error;
	}
}

/** All that this user has on record, living or left behind, in the order of their images. */
export function registeredVolumes(): RegisteredVolume[] {
	const base = baseDirectory();
	if (!existsSync(base)) return [];
	makeBaseDirectory();
	return readdirSync(base)
		.map((name) => join(base, name))
		.flatMap((directory) => {
			const volume = readState(directory);
			return volume ? [{ volume, directory, socketPath: socketPathIn(directory, volume) }] : [];
		})
		.sort((a, b) => (a.volume.image < b.volume.image ? -1 : 1));
}

/**
 * The boot and the moment at which a process started; empty where there is none, or one that nobody has reaped. A process
 * is there as long as one of its threads is: until then it holds its files and locks.
 */
export function processStamp(pid: number): string {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
		// Fields 3 and 22, state and starttime, counted from behind the command's closing parenthesis: proc_pid_stat(5).
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		const [state, startTime] = [fields[0], fields[19]];
		if (state === 'Z' && readdirSync(`/proc/${pid}/task`).length <= 1) return '';
		return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trimEnd()}/${startTime}`;
	} catch {
		return '';
	}
}

/** Whether the process of a service that is on record is still there, even if it does not answer yet, or any more. */
export const isAlive = ({ volume }: RegisteredVolume) => processStamp(volume.pid) === volume.processStamp;

/**
 * Waits while a service on record for this image can neither be used nor be cleared away: it has not begun to answer, was
 * killed and is not gone yet, or ends because its tree was unmounted. After SETTLING_MS_MAX the mount goes on, and finds
 * out what is in its way.
 */
export async function untilSettled(image: string): Promise<void> {
	for (let waitedMs = 0; waitedMs < SETTLING_MS_MAX; waitedMs += 50) {
		const registered = registeredVolumes().find(({ volume }) => volume.image === image);
		if (!registered || !isAlive(registered)) return;
		if (findMount(registered.volume.mountpoint) && (await isListening(registered.socketPath))) return;
		await delay(50);
	}
}

function readState(directory: string): RunningVolume | undefined {
	try {
		return JSON.parse(readFileSync(statePathIn(directory), 'utf8')) as RunningVolume;
	} catch {
		return undefined;
	}
}

/** Where a volume can be met. */
export const placesOf = ({ image, live, mountpoint, data, storage }: VolumePaths) =>
	[image, live, mountpoint, storage, data].filter((path) => path !== null);

/** The path without symbolic links, as far as it can be told. What is mounted there is not asked: it may hang. */
export function absolutePath(target: string): string {
	if (findMount(resolve(target))) return resolve(target);
	try {
		return realpathSync(target);
	} catch {
		return resolve(target);
	}
}
