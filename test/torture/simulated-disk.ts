/**
 * What a disk holds after a power cut. Follows a record of file calls and keeps apart what is durable and what is not:
 *
 * - content is durable once its file was flushed; until then each sector of each write may be there or not, so writes
 *   may be lost, reordered and torn; a file may also have grown to its new size without the bytes;
 * - a name that was made, renamed or removed is durable once its directory was flushed, each on its own until then;
 * - a modification time is durable with a full flush (fsync), not with one of the data (fdatasync).
 */
import { dirname } from 'node:path';
import type { Random } from '../helpers/random.ts';
import type { DiskEvent, Recorder } from './recorder.ts';

const SECTOR_BYTES = 512;

/** Up to so many things that may be there or not, all combinations are taken in turn. */
const EXHAUSTIVE_UNITS = 6;

/** Whole sectors, as the page cache held them after a write; or a new size. */
type ContentChange = { readonly at: number; readonly bytes: Buffer } | { readonly sizeBytes: number };
type NameChange = DiskEvent & { kind: 'create' | 'rename' | 'unlink' };

interface SimulatedFile {
	readonly isDirectory: boolean;
	durable: Buffer;
	/** With everything pending: what programs see. */
	readonly current: GrowingBytes;
	modifications: number;
	durableModifications: number;
	pending: ContentChange[];
}

export interface FileAfterCut {
	readonly content: Buffer;
	/** How often it was changed, as its modification time tells. */
	readonly modifications: number;
}

/** The files by path. A directory is there where a file in it is; `directories` has also the empty ones. */
export interface StateAfterCut {
	readonly files: ReadonlyMap<string, FileAfterCut>;
	readonly directories: readonly string[];
}

/** Says of each thing that is not durable whether it is there. */
interface Fate {
	keepsName(): boolean;
	/** Of a write with so many sectors: one answer for each. */
	keepsSectors(count: number): (sector: number) => boolean;
	keepsSize(): boolean;
	keepsTime(): boolean;
}

export class SimulatedDisk {
	readonly #root: string;
	readonly #files = new Map<number, SimulatedFile>();
	readonly #names = new Map<string, number>();
	#pendingNames: NameChange[] = [];

	constructor(recorder: Recorder) {
		this.#root = recorder.directory;
		let file = 1;
		for (const [path, content] of recorder.initial) {
			this.#files.set(
				file,
				newFile(content === undefined, content ?? Buffer.alloc(0), recorder.initialModifications.get(path) ?? 0),
			);
			this.#names.set(path, file++);
		}
	}

	apply(event: DiskEvent): void {
		switch (event.kind) {
			case 'create':
				this.#files.set(event.file, newFile(event.isDirectory, Buffer.alloc(0), 0));
				this.#pendingNames.push(event);
				return;
			case 'rename':
			case 'unlink':
				this.#pendingNames.push(event);
				return;
			case 'syncDirectory':
				for (const change of this.#pendingNames) if (dirname(change.path) === event.path) rename(this.#names, change);
				this.#pendingNames = this.#pendingNames.filter((change) => dirname(change.path) !== event.path);
				return;
			case 'sync':
				this.#sync(this.#files.get(event.file)!, event.dataOnly);
				return;
			case 'note':
				return;
			default: {
				const file = this.#files.get(event.file)!;
				file.pending.push(changeOf(file.current, event));
				file.modifications++;
			}
		}
	}

	/** One of the states that a power cut may leave now. The same variant and random numbers give the same state. */
	cut(variant: number, random: Random): StateAfterCut {
		return this.#stateOf(this.#unitCount() <= EXHAUSTIVE_UNITS ? bitsOf(variant) : fateOf(variant, random));
	}

	/** What programs see now: everything is there. */
	uncut(): StateAfterCut {
		return this.#stateOf(EVERYTHING);
	}

	#stateOf(fate: Fate): StateAfterCut {
		const names = new Map(this.#names);
		for (const change of this.#pendingNames) if (fate.keepsName()) rename(names, change);
		const files = new Map<string, FileAfterCut>();
		const directories: string[] = [];
		const isThere = (path: string): boolean =>
			path === this.#root ||
			(names.has(path) && this.#files.get(names.get(path)!)!.isDirectory && isThere(dirname(path)));
		for (const [path, number] of names) {
			if (!isThere(dirname(path))) continue;
			const file = this.#files.get(number)!;
			if (file.isDirectory) directories.push(path);
			else files.set(path, afterCut(file, fate));
		}
		return { files, directories: directories.sort() };
	}

	#sync(file: SimulatedFile, dataOnly: boolean): void {
		file.durable = Buffer.from(file.current.content);
		file.pending = [];
		if (!dataOnly) file.durableModifications = file.modifications;
	}

	#unitCount(): number {
		let count = this.#pendingNames.length;
		for (const { pending, modifications, durableModifications } of this.#files.values()) {
			if (modifications > durableModifications) count++;
			for (const change of pending) count += 'bytes' in change ? 1 + sectorCount(change.bytes) : 1;
		}
		return count;
	}
}

const newFile = (isDirectory: boolean, content: Buffer, modifications: number): SimulatedFile => ({
	isDirectory,
	durable: content,
	current: new GrowingBytes(content),
	modifications,
	durableModifications: modifications,
	pending: [],
});

function rename(names: Map<string, number>, change: NameChange): void {
	if (change.kind === 'create') {
		names.set(change.path, change.file);
	} else {
		names.delete(change.path);
		if (change.kind === 'rename') names.set(change.to, change.file);
	}
}

function afterCut(file: SimulatedFile, fate: Fate): FileAfterCut {
	const bytes = new GrowingBytes(file.durable);
	for (const change of file.pending) applyContent(bytes, change, fate);
	const isNewer = file.modifications > file.durableModifications && fate.keepsTime();
	return { content: bytes.content, modifications: isNewer ? file.modifications : file.durableModifications };
}

class GrowingBytes {
	#bytes: Buffer;
	#length: number;

	constructor(content: Buffer) {
		this.#bytes = Buffer.from(content);
		this.#length = content.length;
	}

	get content(): Buffer {
		return this.#bytes.subarray(0, this.#length);
	}

	resize(length: number): void {
		if (length < this.#length) this.#bytes.fill(0, length, this.#length);
		if (length > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(length)], 2 * length);
		this.#length = length;
	}

	/** Overwrites; grows where it must. */
	put(at: number, part: Buffer): void {
		if (at + part.length > this.#length) this.resize(at + part.length);
		part.copy(this.#bytes, at);
	}

	zero(at: number, end: number): void {
		this.#bytes.fill(0, at, Math.min(end, this.#length));
	}
}

/** Makes the change, and says it as whole sectors. */
function changeOf(current: GrowingBytes, event: DiskEvent & { kind: 'write' | 'zero' | 'truncate' }): ContentChange {
	if (event.kind === 'truncate') {
		current.resize(event.lengthBytes);
		return { sizeBytes: event.lengthBytes };
	}
	const end = event.at + (event.kind === 'write' ? event.bytes.length : event.lengthBytes);
	if (event.kind === 'write') current.put(event.at, event.bytes);
	else current.zero(event.at, end);
	const at = Math.floor(event.at / SECTOR_BYTES) * SECTOR_BYTES;
	return { at, bytes: Buffer.from(current.content.subarray(at, Math.ceil(end / SECTOR_BYTES) * SECTOR_BYTES)) };
}

function applyContent(bytes: GrowingBytes, change: ContentChange, fate: Fate): void {
	if (!('bytes' in change)) {
		if (fate.keepsSize()) bytes.resize(change.sizeBytes);
		return;
	}
	const end = change.at + change.bytes.length;
	if (end > bytes.content.length && fate.keepsSize()) bytes.resize(end);
	const count = sectorCount(change.bytes);
	const keeps = fate.keepsSectors(count);
	for (let first = 0; first < count; ) {
		let last = first;
		while (last < count && keeps(last)) last++;
		if (last > first) {
			const kept = change.bytes.subarray(first * SECTOR_BYTES, last * SECTOR_BYTES);
			bytes.put(change.at + first * SECTOR_BYTES, kept);
		}
		first = last + 1;
	}
}

const sectorCount = (bytes: Buffer) => Math.ceil(bytes.length / SECTOR_BYTES);

const always = () => true;
const never = () => false;
const EVERYTHING: Fate = { keepsName: always, keepsSectors: () => always, keepsSize: always, keepsTime: always };
const NOTHING: Fate = { keepsName: never, keepsSectors: () => never, keepsSize: never, keepsTime: never };

/** Each unit asks for the next bit. */
function bitsOf(variant: number): Fate {
	let rest = variant;
	const next = () => {
		const bit = rest & 1;
		rest >>>= 1;
		return bit === 1;
	};
	return {
		keepsName: next,
		keepsSize: next,
		keepsTime: next,
		keepsSectors(count) {
			const bits = Array.from({ length: count }, next);
			return (sector) => bits[sector]!;
		},
	};
}

/** The extremes first, then random ones: writes that are lost, there or torn in different parts. */
function fateOf(variant: number, random: Random): Fate {
	switch (variant % 8) {
		case 0:
			return NOTHING;
		case 1:
			return EVERYTHING;
		case 2:
			return { ...EVERYTHING, keepsName: never };
		case 3:
			return { ...NOTHING, keepsName: always };
		default:
			return randomFate(random);
	}
}

function randomFate(random: Random): Fate {
	const coin = (percent: number) => () => random.integer(100) < percent;
	const keepsWrite = coin(random.pick([10, 50, 90]));
	const isTorn = coin(random.pick([5, 30, 100]));
	const keepsSector = coin(random.pick([10, 50, 90]));
	return {
		keepsName: coin(random.pick([10, 50, 90])),
		keepsSize: coin(50),
		keepsTime: coin(50),
		keepsSectors: (count) => {
			if (!isTorn()) return keepsWrite() ? always : never;
			const kept = Array.from({ length: count }, keepsSector);
			return (sector) => kept[sector]!;
		},
	};
}
