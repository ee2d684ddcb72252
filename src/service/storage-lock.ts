import { closeSync, openSync } from 'node:fs';
import createDebug from 'debug';
import { messageOf, refused } from '../errors.ts';
import { tryLockExclusive } from '../system/libc.ts';

const log = createDebug('noonmark:service');

/**
 * Takes a storage for this process alone: the lock of the image does not tell that the service of another image has it,
 * and two would overwrite each other's segments. Returns what gives it up. Where directories cannot be locked, as on some
 * network shares, nobody is kept out. Errors: refused `storage-in-use`; those of opening the directory.
 */
export function lockStorage(directory: string): () => void {
	const fd = openSync(directory, 'r');
	if (isFree(fd, directory)) return () => closeSync(fd);
	closeSync(fd);
	throw refused(
		'storage-in-use',
		`${directory}: is in use as the storage of another image; unmount that first, or say another with --storage`,
	);
}

function isFree(fd: number, directory: string): boolean {
	try {
		return tryLockExclusive(fd);
	} catch (error) {
		log('%s: cannot be locked: %s', directory, messageOf(error));
		return true;
	}
}
