/** Looks into one shadow copy, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { plainError } from '../errors.ts';
import { type InspectThreadAnswer, type InspectThreadSetup, inspectDevice } from './inspect.ts';

const { device, selection } = workerData as InspectThreadSetup;

function answer(): InspectThreadAnswer {
	try {
		return { report: inspectDevice(device, selection) };
	} catch (error) {
		return { error: plainError(error) };
	}
}

parentPort!.postMessage(answer());
