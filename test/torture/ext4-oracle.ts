/** What e2fsprogs says of a volume. */
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import type { BlockDevice } from '../../src/block/device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { type TreeEntry, treeDifferences, treeOfFileSystem } from '../helpers/tree.ts';
import { scratchDirectory } from './scratch.ts';

const TIMEOUT_MS = 60_000;

/** Bytes from `start` up to `end`. */
export interface ByteRange {
	readonly start: number;
	readonly end: number;
}

/**
 * What of a volume a shadow copy must keep: the blocks in use once the journal is replayed. Where there is nothing to be
 * replayed, not the journal but for its superblock.
 */
export function bytesInUse(content: Buffer): ByteRange[] {
	return onFile(content, (file) => {
		const needsRecovery = /^Filesystem features: .*\bneeds_recovery\b/m.test(runTool('dumpe2fs', '-h', file));
		if (needsRecovery) runTool('e2fsck', '-y', '-E', 'journal_only', file);
		const text = runTool('dumpe2fs', file);
		const field = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)?.[1] ?? 0);
		const blockBytes = field('Block size');
		const isFree = new Uint8Array(field('Block count'));
		// With clusters a range is told by the first blocks of its first and last one.
		const more = Math.max(1, field('Cluster size') / blockBytes);
		for (const [, list] of text.matchAll(/^ {2}Free blocks: (.*)$/gm)) {
			for (const [, first, last = first] of list!.matchAll(/(\d+)(?:-(\d+))?/g))
				isFree.fill(1, Number(first), Number(last) + more);
		}
		if (!needsRecovery) for (const block of journalBlocks(file).slice(1)) isFree[block] = 1;
		return rangesOf(isFree, blockBytes);
	});
}

function rangesOf(isFree: Uint8Array, blockBytes: number): ByteRange[] {
	const ranges: ByteRange[] = [];
	for (let block = 0; block < isFree.length; block++) {
		const start = block;
		while (block < isFree.length && isFree[block] === 0) block++;
		if (block > start) ranges.push({ start: start * blockBytes, end: block * blockBytes });
	}
	return ranges;
}

const journalBlocks = (file: string) => runTool('debugfs', '-R', 'blocks <8>', file).trim().split(/\s+/).map(Number);

/**
 * What is wrong with a copy as a file system: e2fsck has to find nothing in it, of one that was not frozen once the journal
 * is replayed; of a frozen one the tree is what the kernel showed.
 */
export function fileSystemFaults(view: BlockDevice, tree: readonly TreeEntry[] | undefined): string[] {
	const content = Buffer.alloc(view.sizeBytes);
	view.read(0, content);
	const found = onFile(content, (file) => {
		if (!tree) runTool('e2fsck', '-p', file);
		const { status, stdout } = spawnSync('e2fsck', ['-fn', file], { timeout: TIMEOUT_MS, encoding: 'utf8' });
		return status === 0 ? [] : [`e2fsck says ${status}: ${stdout}`];
	});
	return tree ? [...found, ...treeDifferences(treeOfFileSystem(ExtFileSystem.open(view)), tree)] : found;
}

function onFile<T>(content: Buffer, action: (file: string) => T): T {
	const directory = scratchDirectory();
	try {
		const file = `${directory}/volume`;
		writeFileSync(file, content);
		return action(file);
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
}

/** Exit code 1: something was corrected, as it should be. */
function runTool(program: string, ...args: readonly string[]): string {
	const { status, stdout, stderr, error } = spawnSync(program, args, { timeout: TIMEOUT_MS, encoding: 'utf8' });
	if (status !== 0 && status !== 1)
		throw error ?? new Error(`${program} ${args.join(' ')}: exit ${status}: ${stdout}${stderr}`);
	return stdout;
}
