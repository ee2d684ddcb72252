/** Verifies the shadow copies of a diff area: every checksum, and which files of which copy are touched by damage. */
import { FileDevice } from '../block/file-device.ts';
import type { VerifiedCopy } from '../control/messages.ts';
import { DiffAreaReader } from '../diff/diff-area-reader.ts';
import type { DiffAreaShare } from '../diff/diff-area-types.ts';
import { ShadowView } from '../diff/shadow-view.ts';
import { type SegmentToVerify, touchedChunks, verifySegment } from '../diff/verify.ts';
import { messageOf } from '../errors.ts';
import { ExtFileSystem } from '../ext/filesystem.ts';
import { filesInBlocks } from '../ext/touched-files.ts';

/** Plain data, so that a thread can be given it. */
export interface VerifyOrder {
	readonly volumePath: string;
	readonly diffArea: DiffAreaShare;
	readonly segments: readonly SegmentToVerify[];
	/** Those that can be read. */
	readonly copies: readonly { readonly epoch: number; readonly id: string; readonly name: string }[];
}

export interface Progress {
	readonly doneBytes: number;
	readonly totalBytes: number;
}

/** Damage may be everywhere; who reads more than that of one copy learns nothing new. */
const FAULTS_MAX = 100;
const FILES_MAX = 1000;

/** How often progress is told. */
const STEP_BYTES = 16 << 20;

/** What was found of each copy of the order, in their order. Errors: io, where the image cannot be opened. */
export function verifyCopies(order: VerifyOrder, onProgress: (progress: Progress) => void): VerifiedCopy[] {
	const { volumePath, diffArea, segments, copies } = order;
	const reader = new DiffAreaReader(diffArea);
	const volume = FileDevice.open(volumePath, 'read');
	try {
		const damage = findDamage(order, reader, progressOver(segments, onProgress));
		return copies.map(({ epoch, id, name }): VerifiedCopy => {
			const found = damage.get(epoch);
			if (!found) return { id, name, state: 'sound', faults: [], files: [], otherBlocks: 0 };
			const { faults, chunks } = found;
			const touched = touchedFiles(new ShadowView(volume, reader, epoch), chunks, diffArea);
			return { id, name, state: 'damaged', ...touched, faults: [...faults, ...touched.faults] };
		});
	} finally {
		volume.close();
		reader.close();
	}
}

interface Damage {
	readonly faults: string[];
	readonly chunks: Set<number>;
}

function findDamage(
	{ diffArea, segments, copies }: VerifyOrder,
	reader: DiffAreaReader,
	onRead: (bytes: number) => void,
): Map<number, Damage> {
	const { directory, volumeSizeBytes, chunkSizeBytes } = diffArea;
	const identity = { volumeId: Buffer.from(diffArea.volumeId, 'hex'), volumeSizeBytes, chunkSizeBytes };
	const epochs = copies.map(({ epoch }) => epoch);
	const damage = new Map<number, Damage>();
	for (const { epoch, lengthBytes } of segments) {
		for (const fault of verifySegment(directory, { ...identity, epoch }, lengthBytes, onRead)) {
			for (const [copy, chunks] of touchedChunks(fault, reader, epochs)) {
				const found = damage.get(copy) ?? { faults: [], chunks: new Set() };
				damage.set(copy, found);
				if (found.faults.length < FAULTS_MAX) found.faults.push(fault.message);
				for (const chunk of chunks) found.chunks.add(chunk);
			}
		}
	}
	return damage;
}

function progressOver(segments: readonly SegmentToVerify[], onProgress: (progress: Progress) => void) {
	const totalBytes = segments.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
	let doneBytes = 0;
	return (bytes: number) => {
		const before = Math.floor(doneBytes / STEP_BYTES);
		doneBytes = Math.min(totalBytes, doneBytes + bytes);
		if (Math.floor(doneBytes / STEP_BYTES) > before || doneBytes === totalBytes) onProgress({ doneBytes, totalBytes });
	};
}

/** The files that a copy has in chunks; where the copy's file system cannot be told, that is a fault of its own. */
function touchedFiles(
	view: ShadowView,
	chunks: Iterable<number>,
	{ chunkSizeBytes }: DiffAreaShare,
): Pick<VerifiedCopy, 'files' | 'otherBlocks' | 'faults'> {
	try {
		const fs = ExtFileSystem.open(view);
		const { blockSizeBytes, blockCount } = fs.superblock;
		const blocks = new Set<number>();
		for (const chunk of chunks) {
			const start = Math.floor((chunk * chunkSizeBytes) / blockSizeBytes);
			const end = Math.min(blockCount, Math.ceil(((chunk + 1) * chunkSizeBytes) / blockSizeBytes));
			for (let block = start; block < end; block++) blocks.add(block);
		}
		const { paths, restCount } = filesInBlocks(fs, blocks, FILES_MAX);
		return { files: paths, otherBlocks: restCount, faults: [] };
	} catch (error) {
		return { files: [], otherBlocks: 0, faults: [`its file system cannot be read: ${messageOf(error)}`] };
	}
}
