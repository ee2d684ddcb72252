/**
 * What services in the background say, one log for each image. A log stays when its service has ended, for it may say why;
 * the next service of the image goes on in it. They are in memory, so neither their size nor their number is without bound.
 */
import { fstatSync, ftruncateSync, futimesSync, openSync, rmSync, statSync } from 'node:fs';
import {
	absolutePath,
	filesInBase,
	isAlive,
	makeBaseDirectory,
	registeredVolumes,
	volumeDirectory,
} from './runtime-directory.ts';

/** A log that is longer when a service begins is begun anew. */
const LOG_BYTES_MAX = 1 << 20;
/** So many logs are kept whose service has ended. */
const LEFT_LOGS_MAX = 20;

const logPathOf = (image: string) => `${volumeDirectory(absolutePath(image))}.log`;

/** The logs of services that are there. */
function livingLogs(): Set<string> {
	return new Set(
		registeredVolumes().flatMap((registered) => (isAlive(registered) ? `${registered.directory}.log` : [])),
	);
}

/** Opens the log of a service that is about to begin, for writing at its end. */
export function openServiceLog(image: string, nowMs: number): { readonly path: string; readonly fd: number } {
	makeBaseDirectory();
	const path = logPathOf(image);
	const fd = openSync(path, 'a', 0o600);
	if (livingLogs().has(path)) return { path, fd }; // the mount will be refused
	futimesSync(fd, nowMs / 1000, nowMs / 1000); // so that it is none of the oldest
	if (fstatSync(fd).size > LOG_BYTES_MAX) ftruncateSync(fd);
	return { path, fd };
}

/**
 * For a service that begins; what is returned removes its log, if nothing was said in it and no later service has opened
 * it, which would have touched it.
 */
export function emptyLogRemover(image: string): () => void {
	const path = logPathOf(image);
	const stats = () => statSync(path, { throwIfNoEntry: false });
	const openedMs = stats()?.mtimeMs;
	return () => {
		const now = stats();
		if (now?.size === 0 && now.mtimeMs === openedMs && !livingLogs().has(path)) rmSync(path, { force: true });
	};
}

/** Of the logs whose service has ended all but the newest go. */
export function removeOldLogs(): void {
	const living = livingLogs();
	const left = filesInBase('.log')
		.filter((path) => !living.has(path))
		.map((path) => ({ path, writtenMs: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
		.sort((a, b) => b.writtenMs - a.writtenMs);
	for (const { path } of left.slice(LEFT_LOGS_MAX)) rmSync(path, { force: true });
}
