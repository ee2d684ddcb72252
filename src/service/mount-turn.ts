import { closeSync, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { refused } from '../errors.ts';
import { tryLockExclusive } from '../system/libc.ts';
import { filesInBase, makeBaseDirectory, volumeDirectory } from './runtime-directory.ts';

const WAIT_MS_MAX = 10_000;

/**
 * Mounts that have a place in common (image, mount point, …) begin one after the other: a second one must neither take the
 * first one's record for its own nor mount over it. Resolves to what ends the turn, as the end of the process does.
 * Errors: refused `image-in-use`.
 */
export async function turnToMount(places: readonly string[]): Promise<() => void> {
	makeBaseDirectory();
	const ends: (() => void)[] = [];
	const endTurn = () => {
		for (const end of ends.splice(0)) end();
	};
	try {
		// Everybody takes them in one order, so that no two wait for each other.
		for (const place of [...new Set(places)].sort())
			ends.push(
				await turnWith(`${volumeDirectory(place)}.lock`, `${place}: another process mounts there or from there`),
			);
		return endTurn;
	} catch (error) {
		endTurn();
		throw error;
	}
}

/**
 * What a killed service left on record in a directory is cleared away by one after the other. Whoever waits for this
 * holds nothing that the others wait for. Errors: refused `image-in-use`.
 */
export const turnToCleanUp = (directory: string) =>
	turnWith(`${directory}.cleanup.lock`, `${directory}: another process clears away what is on record there`);

async function turnWith(path: string, message: string): Promise<() => void> {
	for (let waitedMs = 0; waitedMs < WAIT_MS_MAX; waitedMs += 50) {
		const fd = takeLock(path);
		if (fd !== undefined) return () => removeLock(path, fd);
		await delay(50);
	}
	throw refused('image-in-use', `${message}; wait until that is done`);
}

/** What mounts that were killed have left. Whoever waits for one of these begins anew. */
export function removeLeftLocks(): void {
	for (const path of filesInBase('.lock')) {
		const fd = takeLock(path);
		if (fd !== undefined) removeLock(path, fd);
	}
}

/** A lock that is held is removed by its holder alone, so whoever gets one must have the file that is there now. */
function takeLock(path: string): number | undefined {
	const fd = openSync(path, 'a', 0o600);
	if (tryLockExclusive(fd) && statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return fd;
	closeSync(fd);
	return undefined;
}

function removeLock(path: string, fd: number): void {
	rmSync(path, { force: true });
	closeSync(fd);
}
