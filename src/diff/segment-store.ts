import { closeSync, openSync, readdirSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { corrupt } from '../errors.ts';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate } from '../system/libc.ts';
import { syncDirectory } from './catalog.ts';
import type { PlaceList } from './place-list.ts';
import { readPlaces, writePlaces } from './places-file.ts';
import { PAGE_BYTES, type PreservedChunk, placesFileName, type SegmentIdentity, segmentFileName } from './segment.ts';
import { checkSegmentFile, hasHeader, type SegmentContent, scanSegment } from './segment-scan.ts';
import { type NewRecord, SegmentWriter } from './segment-writer.ts';

/** The segment files of one diff area, with their lengths. */
export class SegmentStore {
	readonly #directory: string;
	readonly #identity: Omit<SegmentIdentity, 'epoch'>;
	/** These by epoch: of the segments that were opened or created and not removed. */
	readonly #lengths = new Map<number, number>();
	/** What was given back of a segment. */
	readonly #freedBytes = new Map<number, number>();
	/** How long its places file is. */
	readonly #placesBytes = new Map<number, number>();
	readonly #unread = new Set<number>();
	/** Appends to the newest one. */
	#growing: SegmentWriter | undefined;

	constructor(directory: string, identity: Omit<SegmentIdentity, 'epoch'>) {
		this.#directory = directory;
		this.#identity = identity;
	}

	/** Lengths in bytes by epoch, of the segments that were opened or created and not removed. */
	get lengths(): ReadonlyMap<number, number> {
		return this.#lengths;
	}

	get readable(): { epoch: number; lengthBytes: number }[] {
		const all = [...this.#lengths].map(([epoch, lengthBytes]) => ({ epoch, lengthBytes }));
		return all.filter(({ epoch }) => !this.#unread.has(epoch));
	}

	get usedBytes(): number {
		return this.bytesBefore(Number.POSITIVE_INFINITY);
	}

	/** Bytes of the segments of all epochs before this one. */
	bytesBefore(epoch: number): number {
		return [...this.#lengths.keys()].reduce((sum, other) => sum + (other < epoch ? this.bytesOf(other) : 0), 0);
	}

	/** Bytes of an epoch's files that were not given back. */
	bytesOf(epoch: number): number {
		const lengthBytes = this.#lengths.get(epoch) ?? 0;
		return lengthBytes - (this.#freedBytes.get(epoch) ?? 0) + (this.#placesBytes.get(epoch) ?? 0);
	}

	/**
	 * Bytes that the host file system has given to the segments. Only to them: other names in the directory may be mount
	 * points, the live device's among them, and asking that one from here would wait for this very thread. Where it cannot
	 * be asked, it is what they were known to take.
	 */
	get allocatedBytes(): number {
		return [...this.#lengths.keys()].reduce((sum, epoch) => sum + this.#allocatedOf(epoch), 0);
	}

	#allocatedOf(epoch: number): number {
		try {
			const paths = [this.#path(epoch), this.#placesPath(epoch)];
			return paths.reduce((sum, path) => sum + 512 * (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0), 0);
		} catch {
			return this.bytesOf(epoch);
		}
	}

	/** How long an epoch's segment file is; 0 where there is none. */
	sizeOnDisk(epoch: number): number {
		return statSync(this.#path(epoch), { throwIfNoEntry: false })?.size ?? 0;
	}

	/** What the host file system has given to an epoch's segment file. */
	allocatedOnDisk(epoch: number): number {
		return statSync(this.#path(epoch)).blocks * 512;
	}

	/** The epochs that have a segment file, ascending. */
	epochsOnDisk(): number[] {
		return readdirSync(this.#directory)
			.flatMap((name) => /^epoch-(\d{8,})\.segment$/.exec(name)?.[1] ?? [])
			.map(Number)
			.sort((a, b) => a - b);
	}

	/** Takes in an epoch's segment, as `look` finds it; places that are not kept on file yet are written there. */
	read(epoch: number, growing: boolean, durableBytes: number, into: PlaceList): SegmentContent {
		const { content, isOnFile } = this.look(epoch, growing, durableBytes, into);
		if (!growing && !isOnFile) writePlaces(this.#placesPath(epoch), epoch, content.lengthBytes, into);
		this.#lengths.set(epoch, content.lengthBytes);
		this.#measure(epoch);
		return content;
	}

	/**
	 * What an epoch's segment holds; the places of its chunks go into a list. `growing`: it is the newest, so it may have
	 * a torn tail; of the others the places are kept on file. `durableBytes`: what is missing of these is damage. Errors:
	 * corrupt `segment-missing`, `segment-damaged`, `segment-foreign`; unsupported `segment-version`.
	 */
	look(
		epoch: number,
		growing: boolean,
		durableBytes: number,
		into: PlaceList,
	): { readonly content: SegmentContent; readonly isOnFile: boolean } {
		const path = this.#path(epoch);
		const identity = this.#identityOf(epoch);
		const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size;
		if (sizeBytes === undefined) throw corrupt('segment-missing', `${path}: the segment is missing`);
		const isOnFile = !growing && readPlaces(this.#placesPath(epoch), epoch, sizeBytes, into);
		// A places file does not know whose it is: the segment beside it may have been exchanged.
		if (isOnFile) checkSegmentFile(path, identity);
		const content = isOnFile
			? { lengthBytes: sizeBytes, nextSequence: 0, places: into }
			: scanSegment(path, identity, durableBytes, into);
		if (content.lengthBytes < durableBytes) {
			throw corrupt(
				'segment-damaged',
				`${path}: is sound up to byte ${content.lengthBytes}, but ${durableBytes} bytes were durable`,
			);
		}
		return { content, isOnFile };
	}

	/** Takes note of a segment that cannot be read: it counts as long as it was known to be, and stays. */
	keepUnread(epoch: number, durableBytes: number): void {
		this.#lengths.set(epoch, durableBytes);
		this.#unread.add(epoch);
	}

	/** A new segment, durable, by name too. It counts once `grow` is called. */
	create(epoch: number): SegmentWriter {
		const writer = SegmentWriter.create(this.#path(epoch), this.#identityOf(epoch));
		syncDirectory(this.#directory);
		return writer;
	}

	/**
	 * Removes what a power cut left of a segment that was being made: its header is not there, and the catalog does not
	 * know it. Nothing was preserved in it, for it is durable before its epoch begins. Returns whether it was one.
	 */
	dropUnmade(epoch: number, nextEpoch: number): boolean {
		if (!this.isUnmade(epoch, nextEpoch)) return false;
		this.remove(epoch);
		return true;
	}

	isUnmade(epoch: number, nextEpoch: number): boolean {
		const path = this.#path(epoch);
		return epoch >= nextEpoch && statSync(path).size <= PAGE_BYTES && !hasHeader(path);
	}

	/** Goes on with a segment behind its sound records. */
	reopen(epoch: number, content: SegmentContent): SegmentWriter {
		return SegmentWriter.reopen(this.#path(epoch), this.#identityOf(epoch), content.lengthBytes, content.nextSequence);
	}

	/** From now on records are appended to this segment, and no more to the one before. */
	grow(writer: SegmentWriter): void {
		this.stopGrowing();
		this.#growing = writer;
		this.#lengths.set(writer.epoch, writer.lengthBytes);
	}

	stopGrowing(): void {
		this.#growing?.close();
		this.#growing = undefined;
	}

	/** Appends a record to the segment that grows; returns its places once it is durable. Errors pass through. */
	append(record: NewRecord): { epoch: number; lengthBytes: number; places: PreservedChunk[] } {
		const writer = this.#growing!;
		const places = writer.append(record);
		this.#lengths.set(writer.epoch, writer.lengthBytes);
		return { epoch: writer.epoch, lengthBytes: writer.lengthBytes, places };
	}

	/** Bytes of chunks and their records in an epoch's segment. */
	contentBytes(epoch: number): number {
		return Math.max(0, this.bytesOf(epoch) - (this.#placesBytes.get(epoch) ?? 0) - PAGE_BYTES);
	}

	/** Gives back the space of a part of a segment that nobody reads any more. Errors of the file system pass through. */
	punch(epoch: number, page: number, lengthBytes: number): void {
		const fd = openSync(this.#path(epoch), 'r+');
		try {
			fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * PAGE_BYTES, lengthBytes);
		} finally {
			closeSync(fd);
		}
		this.#measure(epoch);
	}

	/** The file system below knows best how much was given back, after a restart too. */
	#measure(epoch: number): void {
		const lengthBytes = this.#lengths.get(epoch) ?? 0;
		this.#freedBytes.set(epoch, Math.max(0, lengthBytes - this.allocatedOnDisk(epoch)));
		this.#placesBytes.set(epoch, statSync(this.#placesPath(epoch), { throwIfNoEntry: false })?.size ?? 0);
	}

	/** Removes the segments of all epochs before this one. Returns the errors of those that would not go. */
	removeBefore(epoch: number): unknown[] {
		const errors: unknown[] = [];
		for (const other of [...this.#lengths.keys()]) {
			try {
				if (other < epoch) this.remove(other);
			} catch (error) {
				errors.push(error);
			}
		}
		return errors;
	}

	/** Removes what may have been begun of a segment; where that fails, it is removed at the next opening. */
	tryRemove(epoch: number): void {
		try {
			this.remove(epoch);
		} catch {}
	}

	remove(epoch: number): void {
		this.#lengths.delete(epoch);
		this.#freedBytes.delete(epoch);
		this.#placesBytes.delete(epoch);
		removeFile(this.#path(epoch));
		removeFile(this.#placesPath(epoch));
	}

	#identityOf(epoch: number): SegmentIdentity {
		return { ...this.#identity, epoch };
	}

	#path(epoch: number): string {
		return join(this.#directory, segmentFileName(epoch));
	}

	#placesPath(epoch: number): string {
		return join(this.#directory, placesFileName(epoch));
	}
}

function removeFile(path: string): void {
	try {
		unlinkSync(path);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
	}
}
