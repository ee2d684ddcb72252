/** The need thread: finds out which chunks are owed to shadow copies, tells it, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import createDebug from 'debug';
import { messageOf, NoonmarkError } from '../errors.ts';
import { ShadowDevices } from './device-spec.ts';
import type { NeedThreadNews, NeedThreadSetup } from './messages.ts';
import { owedChunks } from './owed-chunks.ts';

const log = createDebug('noonmark:service:need');
const devices = new ShadowDevices();

for (const { device, isFrozen } of (workerData as NeedThreadSetup).copies) {
	const view = devices.open(device);
	const tell = (chunks: Uint8Array<SharedArrayBuffer> | undefined) =>
		parentPort!.postMessage({ epoch: device.epoch, chunks } satisfies NeedThreadNews);
	try {
		tell(owedChunks(view, isFrozen));
	} catch (error) {
		if (view.isGone()) continue;
		if (!(error instanceof NoonmarkError)) throw error;
		log('epoch %d: every chunk counts: %s', device.epoch, messageOf(error));
		tell(undefined);
	}
}
devices.close();
