/** The body of a worker thread that serves a mount: workerData names a module with `createHandler(data)`. */
import { parentPort, workerData } from 'node:worker_threads';
import { type RequestHandler, runSession } from '../../src/fuse/session.ts';

const { fd, wakeFd, handlerModule, handlerData } = workerData;
const { createHandler } = (await import(handlerModule)) as { createHandler(data: unknown): RequestHandler };
const result = runSession({
	fd,
	wakeFd,
	handler: createHandler(handlerData),
	betweenRequests: () => -1,
	log: (message, error) => parentPort?.postMessage(`${message}: ${error instanceof Error ? error.message : error}`),
});
parentPort?.postMessage(`session ended: ${result}`);
