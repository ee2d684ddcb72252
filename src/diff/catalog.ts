/**
 * The catalog of a diff area: which shadow copies it holds. A small JSON file, always written whole: to a new file,
 * made durable, renamed over the old one, and the directory made durable. There are two of them with the same content,
 * `catalog` and `catalog.backup`; the second is read where the first is damaged or missing. The new files are there
 * already, with room reserved for their content: on a full disk, too, it can be put on record that a copy is gone.
 *
 *     { "magic": "noonmark-diff-area", "version": 1, "crc32": <of the JSON text of body>, "body": { … } }
 */
import {
	closeSync,
	constants,
	fsyncSync,
	ftruncateSync,
	mkdirSync,
	openSync,
	readFileSync,
	renameSync,
	writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { corrupt, ioError, messageOf, NoonmarkError, unsupported } from '../errors.ts';
import { FALLOC_FL_KEEP_SIZE, fallocate } from '../system/libc.ts';
import { PAGE_BYTES } from './segment.ts';

const MAGIC = 'noonmark-diff-area';
const VERSION = 1;
/** The next catalog may be longer than this one: by some copies, or by what is wrong with each of them. */
const reserveFor = (lengthBytes: number) => 2 * lengthBytes + 16384;

/** The files of a storage that tell of its copies: one is enough. */
export const CATALOG_NAMES = ['catalog', 'catalog.backup'] as const;

/** A shadow copy as the diff area knows it: its epoch, and what its owner wrote on it (plain JSON, kept unread). */
export interface CatalogCopy {
	readonly epoch: number;
	readonly label: unknown;
	/** What was wrong with a segment that it reads when the diff area was opened last; null: it can be read. */
	readonly fault: string | null;
}

export interface CatalogBody {
	/** 32 hexadecimal digits, drawn when the diff area is made; every segment carries it. */
	readonly volumeId: string;
	readonly volumeSizeBytes: number;
	readonly chunkSizeBytes: number;
	/** The most bytes that the diff area may take; null = unbounded. */
	readonly maximumBytes: number | null;
	/** The next shadow copy gets this number. Epochs are never used twice. */
	readonly nextEpoch: number;
	/** Oldest first. */
	readonly copies: readonly CatalogCopy[];
	/** How long each kept segment is at least: what is missing of that is damage, not the torn tail of a power cut. */
	readonly segments: readonly { readonly epoch: number; readonly durableBytes: number }[];
	/**
	 * How the volume looked when the diff area was closed in order, in its owner's words, to notice that it was changed
	 * since; null while it is open, and so after a crash.
	 */
	readonly volumeStamp: string | null;
	/**
	 * How the volume may look, in its owner's words, also after a crash; empty: it is not known. Where it was closed in
	 * order it tells, too, what a stamp of whole seconds does not.
	 */
	readonly volumeStates: readonly string[];
}

/** A catalog as it was written, perhaps by an earlier version, which did not have the last field yet. */
export type StoredCatalog = Omit<CatalogBody, 'maximumBytes'> & Partial<Pick<CatalogBody, 'maximumBytes'>>;

/**
 * Reads the catalog; undefined where there is none. `onFault` is told what is wrong with the first of the two files where
 * the second one helped out. Errors: corrupt `catalog-damaged`, unsupported `catalog-version`; io `catalog-unreadable`.
 */
export function readCatalog(directory: string, onFault: (fault: string) => void = () => {}): StoredCatalog | undefined {
	const [path, backup] = CATALOG_NAMES.map((name) => join(directory, name)) as [string, string];
	try {
		const catalog = readOne(path);
		if (catalog) return catalog;
	} catch (error) {
		if (!(error instanceof NoonmarkError) || error.family !== 'corrupt') throw error;
		const second = attempt(() => readOne(backup));
		if (!second) throw error;
		onFault(error.message);
		return second;
	}
	const second = readOne(backup);
	if (second) onFault(`${path}: is missing`);
	return second;
}

function attempt<T>(action: () => T): T | undefined {
	try {
		return action();
	} catch (error) {
		if (error instanceof NoonmarkError && error.family === 'corrupt') return undefined;
		throw error;
	}
}

function readOne(path: string): StoredCatalog | undefined {
	let text: string;
	try {
		text = readFileSync(path, 'utf8');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
		throw ioError('catalog-unreadable', `${path}: cannot be read: ${messageOf(error)}`, error);
	}
	let parsed: { magic?: unknown; version?: unknown; crc32?: unknown; body?: Fields } | null;
	try {
		parsed = JSON.parse(text);
	} catch {
		throw corrupt('catalog-damaged', `${path}: its ${text.length} characters are no JSON text`);
	}
	if (parsed?.magic !== MAGIC) throw corrupt('catalog-damaged', `${path}: is not the catalog of a diff area`);
	if (parsed.version !== VERSION) {
		throw unsupported(
			'catalog-version',
			`${path}: has format version ${parsed.version}, this Noonmark reads version ${VERSION}`,
		);
	}
	if (!parsed.body || crc32(JSON.stringify(parsed.body)) !== parsed.crc32) {
		throw corrupt('catalog-damaged', `${path}: its checksum is wrong`);
	}
	return decodeBody(parsed.body, path);
}

type Fields = Readonly<Record<string, unknown>>;

/** Fields of later versions of the format are left out, those that earlier ones did not have get a value. */
function decodeBody(body: Fields, path: string): StoredCatalog {
	const { volumeId, volumeStamp = null, volumeStates = [], maximumBytes, copies, segments = [] } = body;
	const check = (field: string, isRight: boolean) => {
		if (!isRight) throw corrupt('catalog-damaged', `${path}: ${field} is ${JSON.stringify(body[field])}`);
	};
	const count = (field: string, least: number) => {
		check(field, isCount(body[field], least));
		return body[field] as number;
	};
	check('volumeId', typeof volumeId === 'string' && /^[0-9a-f]{32}$/.test(volumeId));
	check('volumeStamp', volumeStamp === null || typeof volumeStamp === 'string');
	check('volumeStates', Array.isArray(volumeStates) && volumeStates.every((state) => typeof state === 'string'));
	check('maximumBytes', maximumBytes === undefined || maximumBytes === null || isCount(maximumBytes, 0));
	check('copies', isListOfEpochs(copies) && copies.every(({ epoch }) => (epoch as number) < count('nextEpoch', 1)));
	check('segments', isListOfEpochs(segments) && segments.every(({ durableBytes }) => isCount(durableBytes, 0)));
	return {
		volumeId: volumeId as string,
		volumeSizeBytes: count('volumeSizeBytes', 1),
		chunkSizeBytes: count('chunkSizeBytes', PAGE_BYTES),
		...(maximumBytes === undefined ? {} : { maximumBytes: maximumBytes as number | null }),
		nextEpoch: count('nextEpoch', 1),
		copies: (copies as Fields[]).map(({ epoch, label, fault }) => ({
			epoch: epoch as number,
			label,
			fault: typeof fault === 'string' ? fault : null,
		})),
		segments: segments as CatalogBody['segments'],
		volumeStamp: volumeStamp as string | null,
		volumeStates: volumeStates as string[],
	};
}

const isCount = (value: unknown, least: number) => Number.isSafeInteger(value) && (value as number) >= least;

/** Objects with an epoch each, ascending. */
function isListOfEpochs(value: unknown): value is Fields[] {
	if (!Array.isArray(value)) return false;
	const epochs = value.map((entry) => entry?.epoch as unknown);
	return epochs.every((epoch, i) => isCount(epoch, 1) && (i === 0 || (epoch as number) > (epochs[i - 1] as number)));
}

/** Errors: io `catalog-unwritable`; one of the two may have been written then. */
export function writeCatalog(directory: string, body: StoredCatalog): void {
	const text = `${JSON.stringify({ magic: MAGIC, version: VERSION, crc32: crc32(JSON.stringify(body)), body })}\n`;
	const bytes = Buffer.from(text);
	const paths = CATALOG_NAMES.map((name) => join(directory, name));
	try {
		for (const path of paths) writeDurably(path, bytes);
		syncDirectory(directory);
	} catch (error) {
		throw ioError('catalog-unwritable', `${directory}: its catalog cannot be written: ${messageOf(error)}`, error);
	} finally {
		for (const path of paths) reserveNext(path, reserveFor(bytes.length));
	}
}

/** Writes a file into the room that was reserved for it. All but the name is durable. */
function writeDurably(path: string, bytes: Buffer): void {
	const fd = openSync(newFor(path), constants.O_WRONLY | constants.O_CREAT, 0o600);
	try {
		writeFileSync(fd, bytes); // from its beginning on: it is cut behind that, not before
		ftruncateSync(fd, bytes.length);
		fsyncSync(fd);
	} finally {
		closeSync(fd);
	}
	renameSync(newFor(path), path);
}

/** Reserves room for the file that is written next; where that fails, the room is looked for when it is needed. */
function reserveNext(path: string, lengthBytes: number): void {
	try {
		const fd = openSync(newFor(path), constants.O_WRONLY | constants.O_CREAT, 0o600);
		try {
			fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, lengthBytes);
		} finally {
			closeSync(fd);
		}
	} catch {}
}

const newFor = (path: string) => `${path}.new`;

/** Makes a directory, and those above it that are missing; durable, by name too. */
export function makeDirectory(directory: string): void {
	const first = mkdirSync(directory, { recursive: true, mode: 0o700 });
	if (first === undefined) return;
	for (let made = resolve(directory); made.length >= first.length; made = dirname(made)) syncDirectory(dirname(made));
}

/** Makes names that were created, renamed or removed in a directory durable. */
export function syncDirectory(directory: string): void {
	const fd = openSync(directory, 'r');
	try {
		fsyncSync(fd);
	} finally {
		closeSync(fd);
	}
}
