/** Opens each of some shadow copies as a reader would, tells how that went, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { LineCache } from '../block/line-cache.ts';
import type { CopyState } from '../control/messages.ts';
import { plainError } from '../errors.ts';
import { ExtFileSystem, ROOT_INODE } from '../ext/filesystem.ts';
import type { DeviceSpecification } from '../shadow/provider.ts';
import type { CopyStatesThreadSetup } from './copy-states.ts';
import { ShadowDevices } from './shadow-devices.ts';

const { devices: specifications, replayJournal } = workerData as CopyStatesThreadSetup;
const CACHE_BYTES = 1 << 20;
const devices = new ShadowDevices();

function stateOf(specification: DeviceSpecification): CopyState {
	try {
		const cache = new LineCache(CACHE_BYTES);
		ExtFileSystem.open(devices.open(specification), { cache, replayJournal }).readInode(ROOT_INODE);
		return { state: 'created', fault: null };
	} catch (error) {
		const { family, message } = plainError(error);
		return { state: family === 'unsupported' ? 'unsupported' : 'damaged', fault: message };
	}
}

parentPort!.postMessage(specifications.map(stateOf));
devices.close();
