/** Volumes whose journal is written by the tests, and what of it is read: by Noonmark, and by the kernel. */
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { readSuperblock } from '../../src/ext/filesystem.ts';
import { withJournal } from '../../src/ext/journal.ts';
import type { JournalFormat, Log } from './journal-writer.ts';

export const BLOCK_BYTES = 1024;
const IMAGE_MIB = 8;
/** Free blocks in the image, which nothing but the log writes. */
export const FIRST_TARGET = 6000;
export const TARGETS = 64;

export const plain: JournalFormat = { checksum: 'none', has64bit: false, hasAsyncCommit: false };
export const formats: Record<string, JournalFormat> = {
	'no checksum, 32 bits': plain,
	'no checksum, 64 bits': { ...plain, has64bit: true },
	'checksum v1, 32 bits': { ...plain, checksum: 'v1' },
	'checksum v1, asynchronous': { ...plain, checksum: 'v1', hasAsyncCommit: true },
	'checksum v2, 32 bits': { ...plain, checksum: 'v2' },
	'checksum v2, 64 bits': { ...plain, checksum: 'v2', has64bit: true },
	'checksum v3, 32 bits': { ...plain, checksum: 'v3' },
	'checksum v3, 64 bits': { ...plain, checksum: 'v3', has64bit: true },
	'checksum v3, asynchronous': { ...plain, checksum: 'v3', has64bit: true, hasAsyncCommit: true },
};

/** `more`: features. Metadata checksums make the kernel insist on v3, or turn it on: other formats need an image without. */
export async function emptyImage(directory: string, format: JournalFormat, ...more: string[]): Promise<string> {
	const features = format.checksum === 'v3' || format.checksum === 'v2' ? 'metadata_csum' : '^metadata_csum';
	const size = format.has64bit ? '64bit' : '^64bit';
	const journal = `size=${format.fastCommitBlocks === undefined ? 1 : 2}`;
	return makeImage(join(directory, 'image'), IMAGE_MIB, [
		...['-t', 'ext4', '-b', String(BLOCK_BYTES), '-J', journal, '-O', [features, size, ...more].join(',')],
	]);
}

/** The target blocks as Noonmark reads them, or the error's family. */
export function readTargets(image: string): string[] | string {
	const device = FileDevice.open(image, 'read');
	try {
		const { device: replayed } = withJournal(device, readSuperblock(device));
		return Array.from({ length: TARGETS }, (_, i) => {
			const block = Buffer.alloc(BLOCK_BYTES);
			replayed.read((FIRST_TARGET + i) * BLOCK_BYTES, block);
			return block.toString('latin1');
		});
	} catch (error) {
		if (!(error instanceof NoonmarkError)) throw error;
		return error.family;
	} finally {
		device.close();
	}
}

/** The target blocks as they lie in the file. */
export function targetsInFile(image: string): string[] {
	const bytes = readFileSync(image);
	return Array.from({ length: TARGETS }, (_, i) =>
		bytes.toString('latin1', (FIRST_TARGET + i) * BLOCK_BYTES, (FIRST_TARGET + i + 1) * BLOCK_BYTES),
	);
}

/** The same after the kernel mounted a copy, or `corrupt` where it would not. */
export async function kernelTargets(directory: string, image: string): Promise<string[] | string> {
	const copy = join(directory, 'kernel');
	copyFileSync(image, copy);
	try {
		await withKernelMount(copy, 'rw', async () => {});
	} catch (error) {
		if (!String(error).includes('mount')) throw error;
		return 'corrupt';
	}
	return targetsInFile(copy);
}

/** Three transactions with everything in them. */
export const threeTransactions: Log = {
	sequence: 10,
	transactions: [0, 1, 2].map((index) => ({
		writes: [0, 1, 2].map((i) => ({
			block: FIRST_TARGET + index + i,
			content: Buffer.alloc(BLOCK_BYTES, `block ${i} of transaction ${index} `),
		})),
		revokes: [FIRST_TARGET + 40 + index],
		isCommitted: true,
		timeSec: 1000 + index,
	})),
};
