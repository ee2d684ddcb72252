import { closeSync, openSync, readvSync } from 'node:fs';
import { join } from 'node:path';
import { ioError } from '../errors.ts';
import { startRead } from '../system/libc.ts';
import { CheckedChunks } from './checked-chunks.ts';
import { ChunkIndex } from './chunk-index.ts';
import type { DiffAreaShare } from './diff-area-types.ts';
import { EpochTable } from './epoch-table.ts';
import { RecordTable } from './record-table.ts';
import { PAGE_BYTES, segmentFileName } from './segment.ts';

/** The diff area as a reading thread sees it: shared by the views of all its copies. */
export class DiffAreaReader {
	readonly share: DiffAreaShare;
	readonly index: ChunkIndex;
	readonly epochs: EpochTable;
	/** What the copies read from the diff area. */
	readonly chunks: CheckedChunks;
	readonly #segmentFds = new Map<number, number>();

	constructor(share: DiffAreaShare) {
		this.share = share;
		this.index = ChunkIndex.attach(share.index);
		this.epochs = EpochTable.attach(share.epochs);
		const records = RecordTable.attach(share.records);
		this.chunks = new CheckedChunks(share.chunkSizeBytes, this.epochs, records, this.#readPages.bind(this));
	}

	/** A hint: a preserved chunk that has content will be read soon. */
	announce(location: number): void {
		const { epoch, page } = this.epochs.placeAt(location);
		try {
			startRead(this.#segmentFd(epoch), page * PAGE_BYTES, this.share.chunkSizeBytes);
		} catch {
			// Who reads it is told what is wrong with the segment.
		}
	}

	#readPages(epoch: number, page: number, parts: readonly Uint8Array[]): void {
		const fd = this.#segmentFd(epoch);
		let at = page * PAGE_BYTES;
		for (let rest = parts; rest.length > 0; ) {
			const count = readvSync(fd, rest, at);
			if (count === 0) throw ioError('short-read', `${this.#path(epoch)}: ends at byte ${at}, expected more`);
			at += count;
			rest = withoutFirst(rest, count);
		}
	}

	/** Closes the segments that no living copy reads any more, so that their space is really given back. */
	closeSegmentsBefore(oldestLivingEpoch: number): void {
		for (const [epoch, fd] of this.#segmentFds) {
			if (epoch >= oldestLivingEpoch) continue;
			closeSync(fd);
			this.#segmentFds.delete(epoch);
		}
	}

	close(): void {
		this.closeSegmentsBefore(Number.POSITIVE_INFINITY);
	}

	#segmentFd(epoch: number): number {
		const known = this.#segmentFds.get(epoch);
		if (known !== undefined) return known;
		const fd = openSync(this.#path(epoch), 'r');
		this.#segmentFds.set(epoch, fd);
		return fd;
	}

	#path(epoch: number): string {
		return join(this.share.directory, segmentFileName(epoch));
	}
}

/** What is left of the parts behind the first bytes of them. */
function withoutFirst(parts: readonly Uint8Array[], lengthBytes: number): readonly Uint8Array[] {
	let [count, left] = [0, lengthBytes];
	while (count < parts.length && parts[count]!.length <= left) left -= parts[count++]!.length;
	return left === 0 ? parts.slice(count) : [parts[count]!.subarray(left), ...parts.slice(count + 1)];
}
