/** Looks into one shadow copy, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { plainError } from '../errors.ts';
import { inspectFileSystem } from '../ext/inspect.ts';
import { ShadowDevices } from './device-spec.ts';
import type { InspectThreadAnswer, InspectThreadSetup } from './inspect.ts';

const { device, selection } = workerData as InspectThreadSetup;
const devices = new ShadowDevices();

function answer(): InspectThreadAnswer {
	try {
		return { report: inspectFileSystem(devices.open(device), selection) };
	} catch (error) {
		return { error: plainError(error) };
	} finally {
		devices.close();
	}
}

parentPort!.postMessage(answer());
