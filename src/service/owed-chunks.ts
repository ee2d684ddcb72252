import type { ShadowView } from '../diff/shadow-view.ts';
import { type ContentSeen, contentRanges } from '../ext/content-ranges.ts';

/**
 * What is owed to shadow copies of one volume: a bit for each chunk that holds something in one of them and that is not
 * preserved for it yet. Read through the copies, so that it does not matter what the volume has become.
 *
 * Begin with the newest. Where an older copy has the same bitmap it uses the same chunks, and what is not preserved for it
 * is not preserved for the newer one either: nothing new, so only what differs is read.
 */
export class OwedChunks {
	readonly bits: Uint8Array<SharedArrayBuffer>;
	#newer: { readonly epoch: number; readonly seen: ContentSeen } | undefined;

	constructor(volumeSizeBytes: number, chunkSizeBytes: number) {
		this.bits = new Uint8Array(new SharedArrayBuffer(4 * Math.ceil(volumeSizeBytes / chunkSizeBytes / 32)));
	}

	/** Errors: those of contentRanges; nothing is known of this copy then, and every chunk must count. */
	add(view: ShadowView, isFrozen: boolean): void {
		const { chunkSizeBytes } = view;
		const { bits } = this;
		const newer = this.#newer;
		const seen = contentRanges(
			view,
			isFrozen,
			(startByte, lengthBytes) => {
				const end = Math.ceil((startByte + lengthBytes) / chunkSizeBytes);
				for (let chunk = Math.floor(startByte / chunkSizeBytes); chunk < end; chunk++) {
					if (!view.isPreserved(chunk)) bits[chunk >>> 3]! |= 1 << (chunk & 7);
				}
			},
			newer && {
				seen: newer.seen,
				isUnchanged: (startByte, lengthBytes) => view.readsAsIn(newer.epoch, startByte, lengthBytes),
			},
		);
		// Of a copy that is gone, nobody knows what is preserved for it.
		if (seen && !view.isGone()) this.#newer = { epoch: view.epoch, seen };
	}
}
