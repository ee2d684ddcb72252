/** The storage of a volume that is not mounted: looked into, verified, freed of copies, given up or trusted, under the image's lock. */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { FileDevice } from '../block/file-device.ts';
import type { VerifiedCopy } from '../control/messages.ts';
import { DiffArea } from '../diff/diff-area.ts';
import { discardStorage, trustVolume } from '../diff/repair.ts';
import { readStoredCopies, type StoredCopies } from '../diff/stored-copies.ts';
import { missing, refused } from '../errors.ts';
import type { ProvidedCopy } from '../shadow/provider.ts';
import type { ShadowCopy } from '../shadow/shadow-copy.ts';
import { tryLockExclusive } from '../system/libc.ts';
import { lockStorage } from './storage-lock.ts';
import { storedAsProvided } from './stored-provider.ts';
import { verifyOrder, withUnreadable } from './verify.ts';
import { type Progress, verifyCopies } from './verify-copies.ts';
import { volumeAsItIs } from './volume-as-it-is.ts';
import { readMark, writeMark } from './volume-mark.ts';
import { durableVolumeStamp } from './volume-stamp.ts';

export interface OfflineVolume {
	readonly image: string;
	readonly storage: string;
}

/** Errors: missing `no-such-image`, `no-such-storage`; refused `not-a-disk`. */
export function offlineVolume(image: string, storage: string | undefined): OfflineVolume {
	if (!existsSync(image)) throw missing('no-such-image', `${image}: there is no such image`);
	const path = realpathSync(image);
	if (statSync(path).isDirectory()) throw refused('not-a-disk', `${path}: is a directory; name the image`);
	return { image: path, storage: storage ?? `${path}.noonmark` };
}

/** Errors: refused `image-in-use`, `storage-in-use`; whatever `action` throws. */
function underLock<T>({ image, storage }: OfflineVolume, action: (device: FileDevice) => T): T {
	const device = FileDevice.open(image, 'read');
	let unlockStorage: (() => void) | undefined;
	try {
		if (!tryLockExclusive(device.fd)) throw refused('image-in-use', `${image}: is in use; unmount it first`);
		if (existsSync(storage)) unlockStorage = lockStorage(storage);
		return action(device);
	} finally {
		unlockStorage?.();
		device.close();
	}
}

/** Errors: refused `image-in-use`, `volume-changed`, …; missing `no-such-storage`; those of the catalog. */
export const verifyOffline = (volume: OfflineVolume, onProgress: (progress: Progress) => void): VerifiedCopy[] =>
	underLock(volume, (device) => {
		const stored = storedCopies(volume, device);
		const provided = storedAsProvided(device.steadyPath, stored);
		const order = verifyOrder(device.steadyPath, stored.share, stored.segments, provided);
		return withUnreadable(provided, verifyCopies(order, onProgress));
	});

function storedCopies({ storage }: OfflineVolume, device: FileDevice): StoredCopies {
	const stored = readStoredCopies({ directory: storage, ...volumeAsItIs(device, readMark(device)) });
	if (!stored) throw missing('no-such-storage', `${storage}: there is no storage here`);
	return stored;
}

/** Lets `action` read the copies. Errors: as verifyOffline; whatever `action` throws. */
export const withStoredCopies = <T>(volume: OfflineVolume, action: (copies: ProvidedCopy[]) => T): T =>
	underLock(volume, (device) => action(storedAsProvided(device.steadyPath, storedCopies(volume, device))));

/** Deletes the copies with these ids. Errors: as verifyOffline. */
export function deleteOffline(volume: OfflineVolume, ids: readonly string[]): void {
	underLock(volume, (device) => {
		const diffArea = DiffArea.open({
			directory: volume.storage,
			newVolumeId: '',
			...volumeAsItIs(device, readMark(device)),
		});
		const isMeant = ({ label }: { label: unknown }) => ids.includes((label as ShadowCopy).id);
		for (const { epoch } of diffArea.allCopies.filter(isMeant)) diffArea.delete(epoch);
		diffArea.close(durableVolumeStamp(device.fd));
	});
}

/** Gives all shadow copies up, and the mark that there were some. Where the storage is gone, too. */
export const discardOffline = (volume: OfflineVolume): void =>
	underLock(volume, (device) => {
		if (existsSync(volume.storage)) discardStorage(volume.storage);
		writeMark(device, undefined);
	});

/** Takes the volume as it is for the one that the copies are of. Errors: refused `volume-resized`; those of the catalog. */
export const trustOffline = (volume: OfflineVolume): void =>
	underLock(volume, (device) => {
		const { volumeId } = trustVolume(volume.storage, device.sizeBytes, durableVolumeStamp(device.fd));
		writeMark(device, { volumeId, lostBefore: readMark(device)?.lostBefore ?? 0 });
	});
