/** A developer's view of a volume: its structures as plain data, as far as they can be read. */
import type { BlockDevice } from '../block/device.ts';
import { missing, type PlainError, plainError } from '../errors.ts';
import { describeFeatures, type FeatureReport } from './features.ts';
import { ExtFileSystem, ROOT_INODE, readSuperblock } from './filesystem.ts';
import { readInode } from './inode.ts';
import { describeInode, type InodeReport, isoTime } from './inspect-inode.ts';
import { type JournalState, journalState } from './journal.ts';
import {
	CREATOR_HURD,
	STATE_ERRORS,
	STATE_ORPHANS,
	STATE_VALID,
	SUPERBLOCK_BYTE_OFFSET,
	SUPERBLOCK_MAGIC,
	superblockLayout,
} from './layout.ts';
import { type MultiMount, readMultiMount } from './multi-mount.ts';

export type { ContentReport, InodeReport, XattrReport } from './inspect-inode.ts';

/** What to look at: the volume alone, or an inode by its number or its path from the root. */
export interface InspectSelection {
	/** Symbolic links in it are not followed. */
	readonly path?: string;
	readonly inodeNumber?: number;
	/** False: the inode as it lies on the disk, without the journal (true). */
	readonly replayJournal?: boolean;
}

/** As it is on the disk, before any replay. Times are ISO 8601, UTC. */
export interface SuperblockReport {
	readonly revision: number;
	readonly uuid: string;
	readonly label: string;
	readonly lastMounted: string;
	readonly creator: 'linux' | 'hurd' | 'other';
	readonly state: readonly string[];
	readonly createdAt: string;
	readonly mountedAt: string;
	readonly writtenAt: string;
	readonly blockSizeBytes: number;
	readonly clusterSizeBytes: number;
	readonly blockCount: number;
	readonly blocksPerGroup: number;
	readonly inodeCount: number;
	readonly inodesPerGroup: number;
	readonly inodeSizeBytes: number;
	readonly descriptorSizeBytes: number;
	readonly journalInode: number;
	readonly hashVersion: number;
	readonly encoding: number;
}

export interface MultiMountReport {
	readonly state: MultiMount['state'];
	readonly host: string;
	readonly device: string;
	readonly writtenAt: string;
}

export interface FileSystemReport {
	readonly superblock: SuperblockReport;
	readonly features: readonly FeatureReport[];
	/** null where the superblock is refused. */
	readonly journal: JournalState | null;
	/** null without the feature `mmp`. */
	readonly multiMount: MultiMountReport | null;
	/** null where none was asked for, or it cannot be read. */
	readonly inode: InodeReport | null;
	/** What could not be read, and why. */
	readonly errors: readonly PlainError[];
}

/**
 * Describes the file system on a device; `journalDevice` holds its journal, where that is not in it. Errors: `unsupported`
 * (`not-ext`) where there is none, `io`; whatever else is wrong is told in the report.
 */
export function inspectFileSystem(
	device: BlockDevice,
	selection: InspectSelection,
	journalDevice?: BlockDevice,
): FileSystemReport {
	const errors: PlainError[] = [];
	const attempt = <T>(action: () => T): T | undefined => {
		try {
			return action();
		} catch (error) {
			errors.push(plainError(error));
			return undefined;
		}
	};
	const raw = readRawSuperblock(device);
	const journal = attempt(() => journalState(device, readSuperblock(device), journalDevice));
	const fs = journal && attempt(() => openAround(device, selection, journalDevice, errors));
	const multiMount = fs && attempt(() => readMultiMount(fs.blocks));
	const inode = fs && attempt(() => selectInode(fs, selection));
	return {
		superblock: describeSuperblock(raw),
		features: describeFeatures(raw),
		journal: journal ?? null,
		multiMount: multiMount ? describeMultiMount(multiMount) : null,
		inode: (fs && inode && attempt(() => describeInode(fs, inode, attempt))) ?? null,
		errors,
	};
}

/** Where the journal cannot be replayed that is told, and the volume shown as it lies on the disk. */
function openAround(
	device: BlockDevice,
	{ replayJournal = true }: InspectSelection,
	journalDevice: BlockDevice | undefined,
	errors: PlainError[],
): ExtFileSystem {
	if (replayJournal) {
		try {
			return ExtFileSystem.open(device, journalDevice ? { journalDevice } : {});
		} catch (error) {
			errors.push(plainError(error));
		}
	}
	return ExtFileSystem.open(device, { replayJournal: false });
}

/** Any inode that has a number: the reserved ones, which no path leads to, may be looked at too. */
function selectInode(fs: ExtFileSystem, { path, inodeNumber }: InspectSelection) {
	if (inodeNumber !== undefined && !(inodeNumber >= 1 && inodeNumber <= fs.superblock.inodeCount))
		throw missing('no-such-inode', `inode ${inodeNumber}: the volume has inodes 1 to ${fs.superblock.inodeCount}`);
	if (inodeNumber !== undefined) return readInode(fs.blocks, fs.groups, inodeNumber);
	if (path === undefined) return undefined;
	let inode = fs.readInode(ROOT_INODE);
	for (const name of path.split('/').filter((part) => part !== '' && part !== '.')) {
		const found = fs.lookup(inode, Buffer.from(name));
		if (found === undefined) throw missing('no-such-file', `${path}: there is no ${name} in inode ${inode.number}`);
		inode = fs.readInode(found);
	}
	return inode;
}

type RawSuperblock = ReturnType<typeof superblockLayout.decode>;

function readRawSuperblock(device: BlockDevice): RawSuperblock {
	const bytes = Buffer.alloc(superblockLayout.sizeBytes);
	if (device.sizeBytes >= SUPERBLOCK_BYTE_OFFSET + bytes.length) device.read(SUPERBLOCK_BYTE_OFFSET, bytes);
	const raw = superblockLayout.decode(bytes);
	// Throws, and says what was found.
	if (raw.magic !== SUPERBLOCK_MAGIC) readSuperblock(device);
	return raw;
}

function describeMultiMount({ state, host, device, timeSec }: MultiMount): MultiMountReport {
	return { state, host, device, writtenAt: isoTime(timeSec, 0) };
}

function describeSuperblock(raw: RawSuperblock): SuperblockReport {
	const states = [
		[STATE_VALID, 'clean'],
		[STATE_ERRORS, 'errors'],
		[STATE_ORPHANS, 'orphans'],
	] as const;
	return {
		revision: raw.revision,
		uuid: formatUuid(raw.uuid),
		label: raw.label,
		lastMounted: raw.lastMounted,
		creator: raw.creatorOs === 0 ? 'linux' : raw.creatorOs === CREATOR_HURD ? 'hurd' : 'other',
		state: states.filter(([bit]) => raw.state & bit).map(([, name]) => name),
		createdAt: isoTime(raw.creationTimeSec, 0),
		mountedAt: isoTime(raw.mountTimeSec, 0),
		writtenAt: isoTime(raw.writeTimeSec, 0),
		blockSizeBytes: 1024 * 2 ** raw.logBlockSize,
		clusterSizeBytes: 1024 * 2 ** raw.logClusterSize,
		blockCount: raw.blockCountLow + raw.blockCountHigh * 2 ** 32,
		blocksPerGroup: raw.blocksPerGroup,
		inodeCount: raw.inodeCount,
		inodesPerGroup: raw.inodesPerGroup,
		inodeSizeBytes: raw.inodeSizeBytes,
		descriptorSizeBytes: raw.descriptorSizeBytes,
		journalInode: raw.journalInode,
		hashVersion: raw.defaultHashVersion,
		encoding: raw.encoding,
	};
}

/** As it is usually written, in five groups of digits. */
function formatUuid(bytes: Uint8Array): string {
	return Buffer.from(bytes)
		.toString('hex')
		.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
