/**
 * The catalog of a diff area: which shadow copies it holds. A small JSON file, always written whole: to a new file,
 * made durable, renamed over the old one, and the directory made durable.
 *
 *     { "magic": "noonmark-diff-area", "version": 1, "crc32": <of the JSON text of body>, "body": { … } }
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { corrupt, ioError, messageOf, unsupported } from '../errors.ts';

const MAGIC = 'noonmark-diff-area';
const VERSION = 1;
const FILE_NAME = 'catalog';

/** A shadow copy as the diff area knows it: its epoch, and what its owner wrote on it (plain JSON, kept unread). */
export interface CatalogCopy {
	readonly epoch: number;
	readonly label: unknown;
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
}

/** Reads the catalog; undefined where there is none. Errors: corrupt `catalog-damaged`, unsupported `catalog-version`. */
export function readCatalog(directory: string): CatalogBody | undefined {
	const path = join(directory, FILE_NAME);
	let text: string;
	try {
		text = readFileSync(path, 'utf8');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
		throw ioError('catalog-unreadable', `${path}: cannot be read: ${messageOf(error)}`, error);
	}
	let parsed: { magic?: unknown; version?: unknown; crc32?: unknown; body?: CatalogBody };
	try {
		parsed = JSON.parse(text);
	} catch {
		throw corrupt('catalog-damaged', `${path}: is no JSON text of ${text.length} characters`);
	}
	if (parsed.magic !== MAGIC) throw corrupt('catalog-damaged', `${path}: is not the catalog of a diff area`);
	if (parsed.version !== VERSION) {
		throw unsupported(
			'catalog-version',
			`${path}: has format version ${parsed.version}, this Noonmark reads version ${VERSION}`,
		);
	}
	if (!parsed.body || crc32(JSON.stringify(parsed.body)) !== parsed.crc32) {
		throw corrupt('catalog-damaged', `${path}: its checksum is wrong`);
	}
	return parsed.body;
}

export function writeCatalog(directory: string, body: CatalogBody): void {
	const path = join(directory, FILE_NAME);
	const text = `${JSON.stringify({ magic: MAGIC, version: VERSION, crc32: crc32(JSON.stringify(body)), body })}\n`;
	try {
		const fd = openSync(`${path}.new`, 'w', 0o600);
		try {
			writeFileSync(fd, text);
			fsyncSync(fd);
		} finally {
			closeSync(fd);
		}
		renameSync(`${path}.new`, path);
		syncDirectory(directory);
	} catch (error) {
		throw ioError('catalog-unwritable', `${path}: cannot be written: ${messageOf(error)}`, error);
	}
}

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
