/** The body of a worker thread that serves a mount: workerData names a module with `createHandler(data)`. */
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { type RequestHandler, runSession } from '../../src/fuse/session.ts';
import { Turns } from '../../src/fuse/turns.ts';
import { WAKE } from '../../src/service/mailbox.ts';

const { fd, wakeFds, turns, callFd, handlerModule, handlerData } = workerData;
interface TestHandler extends RequestHandler {
	betweenRequests?(): void;
}
const { createHandler } = (await import(handlerModule)) as { createHandler(data: unknown, fd: number): TestHandler };
const handler = createHandler(handlerData, fd);
const result = runSession({
	fd,
	wakeFds,
	handler,
	turns: new Turns({ ...turns, callOthers: () => writeSync(callFd, WAKE) }),
	betweenRequests: () => {
		handler.betweenRequests?.();
		return -1;
	},
	log: (message, error) => parentPort?.postMessage(`${message}: ${error instanceof Error ? error.message : error}`),
});
parentPort?.postMessage(`session ended: ${result}`);
