/** What a user may decide about a diff area that is not open. */
import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { missing, refused } from '../errors.ts';
import { readCatalog, type StoredCatalog, syncDirectory, writeCatalog } from './catalog.ts';

const OWN_FILE = /^(catalog(\.backup)?(\.new)?|epoch-\d{8,}\.(segment|places)(\.new)?)$/;

/** Removes the catalog and every segment; what is not the diff area's own stays. Errors: those of the file system. */
export function discardStorage(directory: string): void {
	const names = readdirSync(directory).filter((name) => OWN_FILE.test(name));
	for (const name of names.sort()) unlinkSync(join(directory, name)); // the catalog first
	syncDirectory(directory);
}

/**
 * Takes the volume as it is now for what it was when the diff area was closed. Returns the catalog.
 * Errors: missing `no-such-storage`; refused `volume-resized`; those of the catalog.
 */
export function trustVolume(directory: string, volumeSizeBytes: number, volumeStamp: string): StoredCatalog {
	const catalog = readCatalog(directory);
	if (!catalog) throw missing('no-such-storage', `${directory}: there is no catalog here`);
	if (catalog.volumeSizeBytes !== volumeSizeBytes) {
		throw refused(
			'volume-resized',
			`the volume has ${volumeSizeBytes} bytes, but its shadow copies in ${directory} are of one of ${catalog.volumeSizeBytes}: they cannot be read`,
		);
	}
	writeCatalog(directory, { ...catalog, volumeStamp, volumeStates: [] });
	return catalog;
}
