import { closeSync, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { refused } from '../errors.ts';
import { tryLockExclusive } from '../system/libc.ts';
import { filesInBase, makeBaseDirectory, volumeDirectory } from './runtime-directory.ts';

const WAIT_MS_MAX = 10_000;

/**
 * Mounts of one image begin one after the other: a second one must neither take the first one's record for its own nor
 * remove it. Resolves to what ends the turn, as the end of the process does. Errors: refused `image-in-use`.
 */
export async function turnToMount(image: string): Promise<() => void> {
	makeBaseDirectory();
	const path = `${volumeDirectory(image)}.lock`;
	for (let waitedMs = 0; waitedMs < WAIT_MS_MAX; waitedMs += 50) {
		let fd = takeLock(path);
		if (fd !== undefined) {
			return () => {
				if (fd !== undefined) removeLock(path, fd);
				fd = undefined;
			};
		}
		await delay(50);
	}
	throw refused('image-in-use', `${image}: is being mounted by another process; wait until that is done`);
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
