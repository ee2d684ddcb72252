/** Whether a storage holds the copies of the volume as it is now. */
import { refused } from '../errors.ts';
import type { CatalogBody, StoredCatalog } from './catalog.ts';
import type { DiffAreaOptions } from './diff-area-types.ts';

/** What goes on without the copies, for a message. */
export const WAY_ON = '"noonmark repair IMAGE --discard" goes on without them';

/** What tells whether the volume is the one that the copies are of. */
export type VolumeAsItIs = Pick<
	DiffAreaOptions,
	'directory' | 'volumeSizeBytes' | 'volumeStamp' | 'volumeState' | 'markedVolumeId' | 'lostBefore'
>;

/** Errors: refused `storage-lost`, `storage-foreign` where the volume says that its copies are in another storage. */
export function checkMark({ directory, markedVolumeId }: VolumeAsItIs, stored: StoredCatalog | undefined): void {
	if (markedVolumeId === undefined || stored?.volumeId === markedVolumeId) return;
	if (stored) {
		throw refused(
			'storage-foreign',
			`${directory}: is the storage of another volume; say with --storage where the one with this volume's shadow copies is; ${WAY_ON}`,
		);
	}
	throw refused(
		'storage-lost',
		`${directory}: the storage with the volume's shadow copies is not there; put it back, or say with --storage where it is; ${WAY_ON}`,
	);
}

/** Errors: refused `volume-changed`, `volume-resized` where the copies are not of the volume as it is. */
export function checkVolume(
	catalog: Pick<CatalogBody, 'copies' | 'volumeSizeBytes' | 'volumeStamp' | 'volumeStates'>,
	{ directory, volumeSizeBytes, volumeStamp, volumeState, lostBefore = 0 }: VolumeAsItIs,
): void {
	if (catalog.copies.length === 0) return;
	const has = `${directory} has ${catalog.copies.length} shadow copies of it`;
	if (catalog.volumeSizeBytes !== volumeSizeBytes) {
		throw refused(
			'volume-resized',
			`the volume has ${volumeSizeBytes} bytes, but had ${catalog.volumeSizeBytes}, and ${has}; ${WAY_ON}`,
		);
	}
	// Copies that are lost cannot show a change, and a storage that took no note of their loss has none of the volume either.
	if (catalog.copies.every(({ epoch }) => epoch < lostBefore)) return;
	const change = changeSince(catalog, volumeStamp, volumeState);
	if (change === undefined) return;
	throw refused(
		'volume-changed',
		`the volume was changed while Noonmark was not in between (${change}), and ${has}; ${WAY_ON}, --trust keeps them`,
	);
}

function changeSince(
	{ volumeStamp, volumeStates }: Pick<CatalogBody, 'volumeStamp' | 'volumeStates'>,
	stamp: string,
	state: string | undefined,
): string | undefined {
	if (volumeStamp !== null && volumeStamp !== stamp) return `it was left at ${volumeStamp}, now it is at ${stamp}`;
	if (state === undefined || volumeStates.length === 0 || volumeStates.includes(state)) return undefined;
	const left = volumeStamp === null ? 'it was not unmounted in order; its' : 'its';
	return `${left} superblock should say "${volumeStates.at(-1)}", but says "${state}"`;
}
