import { visitBlockMap } from './block-map.ts';
import type { Extent } from './extent-tree.ts';
import type { ExtFileSystem } from './filesystem.ts';
import { type Inode, isDirectory, isRegular } from './inode.ts';
import * as layout from './layout.ts';
import { blockEntries, fullName, inInodeEntries, type XattrEntry } from './xattr.ts';

/** Numbers are those of the disk. Times are ISO 8601, UTC, with nanoseconds. */
export interface InodeReport {
	readonly number: number;
	readonly type: string;
	/** Octal, with the file type. */
	readonly mode: string;
	readonly uid: number;
	readonly gid: number;
	/** null where the record has no room for it. */
	readonly projectId: number | null;
	readonly sizeBytes: number;
	readonly linkCount: number;
	readonly blocks512: number;
	readonly generation: number;
	readonly flags: readonly string[];
	readonly accessedAt: string;
	readonly modifiedAt: string;
	readonly changedAt: string;
	readonly createdAt: string | null;
	/** Of character and block devices. */
	readonly device: { readonly major: number; readonly minor: number } | null;
	/** null where it cannot be read. */
	readonly content: ContentReport | null;
	/** 0: none. */
	readonly xattrBlock: number;
	readonly xattrs: readonly XattrReport[];
}

export type ContentReport =
	| { readonly kind: 'none' }
	/** In the inode itself. */
	| { readonly kind: 'inline'; readonly target: string | null }
	/**
	 * What is in no extent is a hole. A block map is told as if it had extents; where fast commits have changed the map,
	 * the runs that are read are told.
	 */
	| {
			readonly kind: 'extents' | 'block-map' | 'fast-commits';
			/** Blocks that hold the map itself, with how many levels are below each. */
			readonly nodes: readonly { readonly block: number; readonly depth: number }[];
			readonly extents: readonly Extent[];
			/** False where there are too many to tell. */
			readonly isComplete: boolean;
			/** Of symbolic links. */
			readonly target: string | null;
	  };

export interface XattrReport {
	/** With the prefix that its index stands for, or `#N.` for one that the kernel shows to nobody. */
	readonly name: string;
	readonly place: 'inode' | 'block';
	readonly sizeBytes: number;
	/** The value is the content of this inode; 0: it is here. */
	readonly valueInode: number;
	/** As on the disk; empty where it is in another inode. */
	readonly valueHex: string;
}

/** More extents or nodes than these are not told: a report is for people. */
const MAX_TOLD = 10_000;

type Attempt = <T>(action: () => T) => T | undefined;

/** Describes an inode; what cannot be read goes through `attempt`, which takes note of it. */
export function describeInode(fs: ExtFileSystem, inode: Inode, attempt: Attempt): InodeReport {
	const isDevice = inode.deviceMajor !== 0 || inode.deviceMinor !== 0;
	const place = (entries: readonly XattrEntry[] | undefined, where: 'inode' | 'block') =>
		(entries ?? []).map((entry) => describeXattr(entry, where));
	return {
		number: inode.number,
		type: typeOf(inode),
		mode: inode.mode.toString(8),
		uid: inode.uid,
		gid: inode.gid,
		projectId: inode.projectId ?? null,
		sizeBytes: inode.sizeBytes,
		linkCount: inode.linkCount,
		blocks512: inode.blocks512,
		generation: inode.generation,
		flags: Object.entries(layout.INODE_FLAGS)
			.filter(([, bit]) => inode.flags & bit)
			.map(([name]) => name),
		accessedAt: isoTime(inode.atimeSec, inode.atimeNsec),
		modifiedAt: isoTime(inode.mtimeSec, inode.mtimeNsec),
		changedAt: isoTime(inode.ctimeSec, inode.ctimeNsec),
		createdAt: inode.birthtime ? isoTime(inode.birthtime.sec, inode.birthtime.nsec) : null,
		device: isDevice ? { major: inode.deviceMajor, minor: inode.deviceMinor } : null,
		content: attempt(() => describeContent(fs, inode, attempt)) ?? null,
		xattrBlock: inode.xattrBlock,
		xattrs: [
			...place(
				attempt(() => inInodeEntries(inode)),
				'inode',
			),
			...place(
				attempt(() => blockEntries(fs.blocks, inode)),
				'block',
			),
		],
	};
}

function describeXattr(entry: XattrEntry, place: 'inode' | 'block'): XattrReport {
	return {
		name: fullName(entry).toString(),
		place,
		sizeBytes: entry.valueSizeBytes,
		valueInode: entry.valueInode,
		valueHex: entry.value.toString('hex'),
	};
}

function describeContent(fs: ExtFileSystem, inode: Inode, attempt: Attempt): ContentReport {
	const isLink = (inode.mode & layout.S_IFMT) === layout.S_IFLNK;
	const target = isLink ? (attempt(() => fs.readLink(inode).toString()) ?? null) : null;
	if (inode.flags & layout.FLAG_INLINE_DATA || (isLink && fs.isFastLink(inode))) return { kind: 'inline', target };
	if (!isLink && !isRegular(inode) && !isDirectory(inode)) return { kind: 'none' };

	const extents: Extent[] = [];
	const nodes: { block: number; depth: number }[] = [];
	const hasRoom = () => extents.length < MAX_TOLD && nodes.length < MAX_TOLD;
	const onExtent = (extent: Extent) => hasRoom() && extents.push(extent) > 0;
	const onNode = (block: number, depth: number) => hasRoom() && nodes.push({ block, depth }) > 0;
	const isTree = (inode.flags & layout.FLAG_EXTENTS) !== 0;
	const kind = fs.files.remapped.has(inode.number) ? 'fast-commits' : isTree ? 'extents' : 'block-map';
	attempt(() => {
		if (kind === 'fast-commits') visitRuns(fs, inode, onExtent);
		else if (isTree) fs.files.extents.visit(inode, onExtent, onNode);
		else visitBlockMap(fs.blocks, inode, onExtent, onNode);
	});
	return { kind, nodes, extents, isComplete: hasRoom(), target };
}

function visitRuns(fs: ExtFileSystem, inode: Inode, onRun: (run: Extent) => boolean): void {
	const end = Math.ceil(inode.sizeBytes / fs.superblock.blockSizeBytes);
	for (let fileBlock = 0; fileBlock < end; ) {
		const { block, count } = fs.files.joinedRunAt(inode, fileBlock, end - fileBlock);
		if (block !== 0 && !onRun({ fileBlock, block, count, isUnwritten: false })) return;
		fileBlock += count;
	}
}

function typeOf(inode: Inode): string {
	const types: Record<number, string> = {
		[layout.S_IFREG]: 'regular file',
		[layout.S_IFDIR]: 'directory',
		[layout.S_IFLNK]: 'symbolic link',
		[layout.S_IFCHR]: 'character device',
		[layout.S_IFBLK]: 'block device',
		[layout.S_IFIFO]: 'fifo',
		[layout.S_IFSOCK]: 'socket',
	};
	return types[inode.mode & layout.S_IFMT]!;
}

/** ISO 8601 with nanoseconds. */
export function isoTime(sec: number, nsec: number): string {
	const [whole] = new Date(sec * 1000).toISOString().split('.');
	return `${whole}.${String(nsec).padStart(9, '0')}Z`;
}
