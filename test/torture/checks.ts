/** Compares the shadow copies of a diff area with the model of the volume. */
import type { BlockDevice } from '../../src/block/device.ts';
import type { DiffArea } from '../../src/diff/diff-area.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { messageOf } from '../../src/errors.ts';
import type { ExpectedCopy, VolumeModel } from './volume-model.ts';

/** A copy may be missing only if its creation was not reported, or its deletion had begun. */
export function presenceFaults(diffArea: DiffArea, model: VolumeModel): string[] {
	const present = new Set(diffArea.copies.map(({ epoch }) => epoch));
	const lost = [...model.copies.keys()].filter((epoch) => model.isOwed(epoch) && !present.has(epoch));
	const risen = [...present].filter((epoch) => !model.copies.has(epoch));
	return [
		...lost.map((epoch) => `copy ${epoch} is lost (${JSON.stringify(diffArea.takeEvents())})`),
		...risen.map((epoch) => `copy ${epoch}, which was deleted or given up, is back`),
	];
}

/** What is wrong with the content of the copies that are there. */
export function contentFaults(
	diffArea: DiffArea,
	volume: BlockDevice,
	expected: ReadonlyMap<number, ExpectedCopy>,
): string[] {
	const reader = new DiffAreaReader(diffArea.share);
	const content = Buffer.alloc(volume.sizeBytes);
	try {
		return diffArea.copies.flatMap(({ epoch }) => {
			const model = expected.get(epoch);
			if (!model) return [];
			try {
				new ShadowView(volume, reader, epoch).read(0, content);
			} catch (error) {
				return [`copy ${epoch}: ${messageOf(error)}`];
			}
			const wrongAt = differingByte(content, model);
			return wrongAt === undefined ? [] : [`copy ${epoch} differs at byte ${wrongAt}`];
		});
	} finally {
		reader.close();
	}
}

/** Chunks that a copy uses and reads from the volume, but which would be overwritten without being preserved. */
export function neededFaults(
	diffArea: DiffArea,
	volume: BlockDevice,
	expected: ReadonlyMap<number, ExpectedCopy>,
): string[] {
	const reader = new DiffAreaReader(diffArea.share);
	const { chunkSizeBytes } = diffArea.share;
	try {
		return diffArea.copies.flatMap(({ epoch }) => {
			const view = new ShadowView(volume, reader, epoch);
			const chunks = (expected.get(epoch)?.used ?? []).flatMap(({ start, end }) => {
				const first = Math.floor(start / chunkSizeBytes);
				return Array.from({ length: Math.ceil(end / chunkSizeBytes) - first }, (_, i) => first + i);
			});
			const missing = chunks.filter((chunk) => !diffArea.needed.isNeeded(chunk) && !view.isPreserved(chunk));
			return missing.length > 0 ? [`copy ${epoch} needs chunks ${missing}, but they are not kept`] : [];
		});
	} finally {
		reader.close();
	}
}

function differingByte(found: Buffer, { content, used = [{ start: 0, end: content.length }] }: ExpectedCopy) {
	const wrong = used.find(({ start, end }) => found.compare(content, start, end, start, end) !== 0);
	if (!wrong) return undefined;
	let at = wrong.start;
	while (found[at] === content[at]) at++;
	return at;
}
