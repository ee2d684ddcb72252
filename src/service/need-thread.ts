/** The need thread: finds out which chunks are owed to shadow copies, tells it, and ends. */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import createDebug from 'debug';
import { FileDevice } from '../block/file-device.ts';
import { DiffAreaReader } from '../diff/diff-area-reader.ts';
import { ShadowView } from '../diff/shadow-view.ts';
import { messageOf, NoonmarkError } from '../errors.ts';
import type { NeedThreadNews, NeedThreadSetup } from './messages.ts';
import { OwedChunks } from './owed-chunks.ts';

const log = createDebug('noonmark:service:need');
const setup = workerData as NeedThreadSetup;
const volume = FileDevice.open(setup.volumePath, 'read');
const reader = new DiffAreaReader(setup.diffArea);
const tell = (news: NeedThreadNews) => parentPort!.postMessage(news);

// It saves space later, while others wait for an answer now. Linux: this thread alone.
setPriority(10);

const owed = new OwedChunks(setup.diffArea.volumeSizeBytes, setup.diffArea.chunkSizeBytes);
const known: number[] = [];
for (const { epoch, isFrozen } of setup.copies.toReversed()) {
	const view = new ShadowView(volume, reader, epoch);
	try {
		owed.add(view, isFrozen);
		known.push(epoch);
	} catch (error) {
		if (view.isGone()) continue;
		if (!(error instanceof NoonmarkError)) throw error;
		log('epoch %d: every chunk counts: %s', epoch, messageOf(error));
		tell({ epochs: [epoch], chunks: undefined });
	}
}
tell({ epochs: known, chunks: owed.bits });
reader.close();
volume.close();
