import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { CATALOG_NAMES } from '../diff/catalog.ts';
import { missing } from '../errors.ts';

/**
 * The storage of a volume that is not mounted: TARGET itself, where it is a storage, or what lies beside the image
 * TARGET. Errors: missing `no-such-volume`.
 */
export function findStorage(target: string): string {
	try {
		const path = realpathSync(target);
		for (const directory of [path, `${path}.noonmark`]) {
			if (CATALOG_NAMES.some((name) => existsSync(join(directory, name)))) return directory;
		}
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
	}
	throw missing(
		'no-such-volume',
		`${target}: belongs to no mounted volume, and is no storage, nor an image with its storage beside it`,
	);
}
