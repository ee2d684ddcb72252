import { isOneFrom, unmount } from '../fuse/mount.ts';
import { findMount } from '../system/mountinfo.ts';
import { findKilledVolume } from './find-volume.ts';
import { type LoopDevice, mountPointsOf, withLoopDevicesOver } from './loop-mounts.ts';
import { turnToCleanUp } from './mount-turn.ts';
import { runTool } from './run-tool.ts';
import {
	isAlive,
	placesOf,
	type RegisteredVolume,
	type RunningVolume,
	registeredVolumes,
	unregister,
} from './runtime-directory.ts';

/**
 * Clears away what services that were killed left in these places (images, mount points, …): their mounts, which answer
 * nobody any more, and the loop devices over them. Their shadow copies are not touched. Elsewhere they stay: whoever
 * still looks there must be told of an error, not be shown the empty directory below.
 */
export async function cleanUpStaleMounts(places: readonly string[]): Promise<void> {
	for (const registered of registeredVolumes()) {
		const isInTheWay = placesOf(registered.volume).some((place) => places.includes(place));
		if (isInTheWay && !isAlive(registered)) await cleanUp(registered);
	}
}

/** Clears away what the killed service of a volume left, and returns what it was; undefined where there is none. */
export async function cleanUpKilled(target: string): Promise<RegisteredVolume | undefined> {
	const killed = findKilledVolume(target);
	return killed && cleanUp(killed);
}

/**
 * Undefined where another process has done so meanwhile: what stands in these places by now may be of a service that
 * lives.
 */
async function cleanUp({ directory }: RegisteredVolume): Promise<RegisteredVolume | undefined> {
	const endTurn = await turnToCleanUp(directory);
	try {
		const killed = registeredVolumes().find((registered) => registered.directory === directory && !isAlive(registered));
		if (!killed) return undefined;
		await clearAway(killed.volume);
		unregister(killed.volume);
		return killed;
	} finally {
		endTurn();
	}
}

async function clearAway({ image, live, mountpoint }: RunningVolume): Promise<void> {
	if (live !== null) await withLoopDevicesOver(live, giveUp);
	for (const mountPoint of [live, mountpoint]) {
		const isOnTop = (path: string) => {
			const top = findMount(path);
			return top && isOneFrom(image)(top);
		};
		while (mountPoint !== null && isOnTop(mountPoint)) unmount({ mountPoint, source: image }, { detach: true });
	}
}

/** Unmounts what is mounted from these loop devices, which go when nobody holds them any more. */
async function giveUp(loops: readonly LoopDevice[]): Promise<void> {
	const majorMinors = loops.flatMap((loop) => loop.majorMinors);
	// What is mounted on the data directory by now may be something else; what is mounted from the dead device is not.
	for (let [mountPoint] = mountPointsOf(majorMinors); mountPoint; [mountPoint] = mountPointsOf(majorMinors)) {
		// Killed in the middle of a creation, the service left its writers frozen.
		await runTool('fsfreeze', ['--unfreeze', mountPoint]).catch(() => undefined);
		await runTool('umount', ['--lazy', mountPoint]).catch((error) => {
			// Somebody else may have unmounted it in this moment.
			if (mountPointsOf(majorMinors).includes(mountPoint!)) throw error;
		});
	}
	for (const { path } of loops) await runTool('losetup', ['--detach', path]).catch(() => undefined);
}
