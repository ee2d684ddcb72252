/** Which mounted volume a TARGET means. */
import { resolve } from 'node:path';
import { isListening } from '../control/client.ts';
import { ioError, missing, type NoonmarkError } from '../errors.ts';
import { isWithin } from './mount-users.ts';
import { absolutePath, isAlive, placesOf, type RegisteredVolume, registeredVolumes } from './runtime-directory.ts';

/** The volumes whose service answers. */
export async function runningVolumes(): Promise<RegisteredVolume[]> {
	const all = registeredVolumes();
	const alive = await Promise.all(all.map(({ socketPath }) => isListening(socketPath)));
	return all.filter((_, i) => alive[i]);
}

/**
 * The running volume that a user means: by its image, its live device, its storage, or any path at or below its mount
 * point or data directory. Errors: missing `no-such-volume`, with the volumes that there are.
 */
export async function findVolume(target: string): Promise<RegisteredVolume> {
	const running = await runningVolumes();
	const found = volumeAt(target, running);
	if (found) return found;
	const silent = volumeAt(target, registeredVolumes());
	if (silent) throw doesNotAnswer(silent);
	const forRoot = process.getuid!() === 0 ? '' : ' by you; what root mounted only root manages: try again with sudo';
	const known = running.map(({ volume }) => `${volume.image} (on ${volume.mountpoint})`).join(', ');
	throw missing(
		'no-such-volume',
		`${target}: belongs to no mounted volume; ${known ? `mounted are: ${known}` : 'none is mounted'}${forRoot}`,
	);
}

/** What to do about a service that is on record and does not listen. */
export function doesNotAnswer(registered: RegisteredVolume): NoonmarkError {
	const { image, mountpoint, pid } = registered.volume;
	if (!isAlive(registered)) {
		const killed = `${image}: its volume service (pid ${pid}) was killed or has crashed`;
		const mount = `"noonmark mount ${image} ${mountpoint}" clears away what it left, and mounts it again`;
		return missing('service-killed', `${killed}; ${mount}; "noonmark unmount" only clears it away`);
	}
	const isSilent = `${image}: its volume service (pid ${pid}) does not listen at ${registered.socketPath}`;
	return ioError('service-gone', `${isSilent}; it begins, or ends: try again, or end it with "kill ${pid}"`);
}

/** What a service that was killed left on record for TARGET. */
export function findKilledVolume(target: string): RegisteredVolume | undefined {
	return volumeAt(
		target,
		registeredVolumes().filter((registered) => !isAlive(registered)),
	);
}

const longestPlace = ({ volume }: RegisteredVolume, path: string) =>
	Math.max(
		...placesOf(volume)
			.filter((place) => isWithin(path, place))
			.map((place) => place.length),
	);

/**
 * As findVolume, for what can be done without the service, too; undefined where TARGET belongs to no mounted volume. Errors:
 * those of a service that does not answer, where TARGET is neither its image nor its storage.
 */
export async function findRunningVolume(target: string): Promise<RegisteredVolume | undefined> {
	const running = volumeAt(target, await runningVolumes());
	const silent = running ? undefined : volumeAt(target, registeredVolumes());
	if (silent && ![silent.volume.image, silent.volume.storage].includes(absolutePath(target)))
		throw doesNotAnswer(silent);
	return running;
}

/**
 * Of nested ones (a data directory that holds another volume's mount point) the innermost. A path that says where it lies is
 * taken at its word: to look at it may be to ask a service that hangs.
 */
function volumeAt(target: string, volumes: readonly RegisteredVolume[]): RegisteredVolume | undefined {
	return volumeAround(resolve(target), volumes) ?? volumeAround(absolutePath(target), volumes);
}

function volumeAround(path: string, volumes: readonly RegisteredVolume[]): RegisteredVolume | undefined {
	const found = volumes.filter(({ volume }) => placesOf(volume).some((place) => isWithin(path, place)));
	return found.sort((a, b) => longestPlace(b, path) - longestPlace(a, path))[0];
}
