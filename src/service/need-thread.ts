/** The need thread: finds out which chunks are owed to shadow copies, tells it, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import createDebug from 'debug';
import { FileDevice } from '../block/file-device.ts';
import { DiffAreaReader, ShadowView } from '../diff/shadow-view.ts';
import { messageOf, NoonmarkError } from '../errors.ts';
import type { NeedThreadNews, NeedThreadSetup } from './messages.ts';
import { owedChunks } from './owed-chunks.ts';

const log = createDebug('noonmark:service:need');
const setup = workerData as NeedThreadSetup;
const volume = FileDevice.open(setup.volumePath, 'read');
const reader = new DiffAreaReader(setup.diffArea);

for (const { epoch, isFrozen } of setup.copies) {
	const view = new ShadowView(volume, reader, epoch);
	const tell = (chunks: Uint8Array<SharedArrayBuffer> | undefined) =>
		parentPort!.postMessage({ epoch, chunks } satisfies NeedThreadNews);
	try {
		tell(owedChunks(view, isFrozen));
	} catch (error) {
		if (view.isGone()) continue;
		if (!(error instanceof NoonmarkError)) throw error;
		log('epoch %d: every chunk counts: %s', epoch, messageOf(error));
		tell(undefined);
	}
}
reader.close();
volume.close();
