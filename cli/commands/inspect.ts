import type { FileSystemReport, InodeReport, InspectSelection } from '../../src/control/messages.ts';
import { errorFromPlain } from '../../src/errors.ts';
import { inspect } from '../../src/service/inspect.ts';
import { JSON_FLAG, parse } from '../arguments.ts';
import { exitCodeOf, printJson, printLines, warn } from '../output.ts';

const HELP = `
	Usage
	  $ noonmark inspect IMAGE [PATH|'<INODE>']
	  $ noonmark inspect TARGET/@GMT-…[/PATH] ['<INODE>']

	Shows what Noonmark's own reader makes of a file system: its superblock, its features and how each is treated, its
	journal, and an inode with its extents and extended attributes. What is damaged is told, and the rest is shown.
	An image is shown as it lies on the disk, also while it is mounted. For a shadow copy, TARGET is a mounted volume, or the
	image of one that is not mounted.

	Options
	  --no-replay       Look at the inode as it lies on the disk, without what is in the journal
	  --journal DEVICE  The journal of an image, where that is on a device of its own
	  --storage DIR     The diff area of an image that is not mounted (default: IMAGE.noonmark)
	  --json            Print {"fileSystem":{…}}
`;

const FLAGS = {
	...JSON_FLAG,
	replay: { type: 'boolean', default: true },
	journal: { type: 'string' },
	storage: { type: 'string' },
} as const;

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, FLAGS, { min: 1, max: 2 });
	const [target, what] = cli.input as [string, string?];
	const { replay, journal, storage } = cli.flags;
	const fileSystem = await inspect(target, { ...selectionOf(what), replayJournal: replay }, { journal, storage });
	const errors = fileSystem.errors.map(errorFromPlain);
	if (errors[0]) process.exitCode = exitCodeOf(errors[0]);
	const [failure] = errors.map(warn);
	if (cli.flags.json) return printJson({ fileSystem, ...failure });
	printLines(reportLines(fileSystem));
}

/** `<12>` is an inode number, as for debugfs; anything else a path. */
function selectionOf(what: string | undefined): InspectSelection {
	const inode = /^<(\d{1,10})>$/.exec(what ?? '');
	if (inode) return { inodeNumber: Number(inode[1]) };
	return what === undefined ? {} : { path: what };
}

type Row = readonly [label: string, value: string | number];

function reportLines(report: FileSystemReport): string[] {
	const { superblock: s, features, journal, multiMount, inode } = report;
	const rows: Row[] = [
		['uuid', s.uuid],
		['label', s.label || '-'],
		['last mounted', `${s.lastMounted || '-'}  ${s.mountedAt}`],
		['state', s.state.join(', ') || 'not clean'],
		['made, written', `${s.createdAt}, ${s.writtenAt}`],
		['format', `revision ${s.revision}, made for ${s.creator}`],
		[
			'blocks',
			`${s.blockCount} of ${s.blockSizeBytes} bytes, ${s.blocksPerGroup} in a group, clusters of ${s.clusterSizeBytes}`,
		],
		['inodes', `${s.inodeCount} of ${s.inodeSizeBytes} bytes, ${s.inodesPerGroup} in a group`],
		['name hash', `version ${s.hashVersion}, encoding ${s.encoding}`],
	];
	if (journal) rows.push(['journal', journalText(journal)]);
	if (multiMount) {
		const { state, host, device, writtenAt } = multiMount;
		rows.push(['multi-mount', `${state}${state === 'in-use' ? `: host ${host}, device ${device}, ${writtenAt}` : ''}`]);
	}
	const featureRows = features.map(
		({ name, treatment, note }): Row => [name, note ? `${treatment}: ${note}` : treatment],
	);
	const lines = [...rowLines(rows), '', 'features', ...rowLines(featureRows)];
	return inode ? [...lines, '', ...inodeLines(inode)] : lines;
}

function journalText(journal: NonNullable<FileSystemReport['journal']>): string {
	switch (journal.kind) {
		case 'none':
		case 'clean':
			return journal.kind;
		case 'needs-replay': {
			const { firstSequence, transactionCount, blockCount, fastCommitCount } = journal;
			const log = `${transactionCount} transactions from ${firstSequence} on, ${blockCount} blocks`;
			return `to be replayed: ${log}, ${fastCommitCount} fast commits`;
		}
		default:
			return `${journal.kind}: ${journal.error.message}`;
	}
}

function inodeLines(inode: InodeReport): string[] {
	const { content, device } = inode;
	const rows: Row[] = [
		['inode', `${inode.number}, ${inode.type}`],
		['mode', inode.mode],
		['owner', `${inode.uid}:${inode.gid}${inode.projectId === null ? '' : `, project ${inode.projectId}`}`],
		['size', `${inode.sizeBytes} bytes, ${inode.blocks512} sectors`],
		['links', inode.linkCount],
		['flags', inode.flags.join(', ') || '-'],
		['generation', inode.generation],
		['accessed', inode.accessedAt],
		['modified', inode.modifiedAt],
		['changed', inode.changedAt],
		['created', inode.createdAt ?? '-'],
	];
	if (device) rows.push(['device', `${device.major}:${device.minor}`]);
	if (content && content.kind !== 'none') {
		if (content.target !== null) rows.push(['target', content.target]);
		rows.push(['content', content.kind]);
	}
	if (content && 'extents' in content) {
		for (const { block, depth } of content.nodes)
			rows.push(['  map', `block ${block}, ${depth} levels above the data`]);
		for (const { fileBlock, block, count, isUnwritten } of content.extents) {
			rows.push(['  data', `${fileBlock}+${count} at ${block}${isUnwritten ? ', unwritten' : ''}`]);
		}
		if (!content.isComplete) rows.push(['', '… and more']);
	}
	if (inode.xattrBlock !== 0) rows.push(['xattr block', inode.xattrBlock]);
	for (const { name, place, sizeBytes, valueInode, valueHex } of inode.xattrs) {
		const value = valueInode === 0 ? shortened(valueHex) : `in inode ${valueInode}`;
		rows.push(['xattr', `${name}, ${sizeBytes} bytes in the ${place}: ${value}`]);
	}
	return rowLines(rows);
}

const MAX_HEX_SHOWN = 96;
const shortened = (hex: string) => (hex.length > MAX_HEX_SHOWN ? `${hex.slice(0, MAX_HEX_SHOWN)}…` : hex);

function rowLines(rows: readonly Row[]): string[] {
	const width = Math.max(14, ...rows.map(([label]) => label.length));
	return rows.map(([label, value]) => `${label.padEnd(width)} ${value}`.trimEnd());
}
