import { closeSync, openSync, writeSync } from 'node:fs';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { readStoredCopies } from '../../src/diff/stored-copies.ts';
import { volumeStamp } from '../../src/service/volume-stamp.ts';
import type { ShadowCopy } from '../../src/shadow/shadow-copy.ts';

const PART_BYTES = 1 << 20;

/** Writes every block of the copies of an unmounted volume to a file, one copy after the other, for `use` to look at. */
export async function forEachStoredCopy(
	{ image, storage, file }: { readonly image: string; readonly storage: string; readonly file: string },
	use: (copy: ShadowCopy) => Promise<void>,
): Promise<void> {
	const volume = FileDevice.open(image, 'read');
	const options = { directory: storage, volumeSizeBytes: volume.sizeBytes, volumeStamp: volumeStamp(volume.fd) };
	const stored = readStoredCopies(options)!;
	const reader = new DiffAreaReader(stored.share);
	try {
		for (const { epoch, label } of stored.copies) {
			const view = new ShadowView(volume, reader, epoch);
			const part = Buffer.alloc(PART_BYTES);
			const fd = openSync(file, 'w');
			for (let at = 0; at < view.sizeBytes; at += PART_BYTES) {
				view.read(at, part);
				writeSync(fd, part);
			}
			closeSync(fd);
			await use(label as ShadowCopy);
		}
	} finally {
		reader.close();
		volume.close();
	}
}
