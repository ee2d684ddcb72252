import type { ShadowView } from '../diff/shadow-view.ts';
import { contentRanges } from '../ext/content-ranges.ts';

/**
 * What is owed to a shadow copy: a bit for each chunk that holds something in it and that is not preserved for it yet.
 * Read through the copy, so that it does not matter what the volume has become. Errors: those of contentRanges; nothing
 * is known then, and every chunk must count.
 */
export function owedChunks(view: ShadowView, isFrozen: boolean): Uint8Array<SharedArrayBuffer> {
	const { chunkSizeBytes, sizeBytes } = view;
	const chunkCount = Math.ceil(sizeBytes / chunkSizeBytes);
	const bits = new Uint8Array(new SharedArrayBuffer(4 * Math.ceil(chunkCount / 32)));
	contentRanges(view, isFrozen, (startByte, lengthBytes) => {
		const end = Math.ceil((startByte + lengthBytes) / chunkSizeBytes);
		for (let chunk = Math.floor(startByte / chunkSizeBytes); chunk < end; chunk++) {
			if (!view.isPreserved(chunk)) bits[chunk >>> 3]! |= 1 << (chunk & 7);
		}
	});
	return bits;
}
