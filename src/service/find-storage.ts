import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { CATALOG_NAMES, readCatalog } from '../diff/catalog.ts';
import { missing } from '../errors.ts';

/** Whether a directory has a catalog, as far as the caller may see. */
export const isStorage = (directory: string) => CATALOG_NAMES.some((name) => existsSync(join(directory, name)));

/** Whether there is a storage with shadow copies, as far as its catalog can be read. */
export function hasCopies(directory: string): boolean {
	try {
		return (readCatalog(directory)?.copies.length ?? 0) > 0;
	} catch {
		return false;
	}
}

/**
 * The storage of a volume that is not mounted: TARGET itself, where it is a storage, or what lies beside the image
 * TARGET. Errors: missing `no-such-volume`.
 */
export function findStorage(target: string): string {
	try {
		const path = realpathSync(target);
		const found = [path, `${path}.noonmark`].find(isStorage);
		if (found !== undefined) return found;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
	}
	throw missing(
		'no-such-volume',
		`${target}: belongs to no mounted volume, and is no storage, nor an image with its storage beside it; where the storage is elsewhere, name that`,
	);
}
