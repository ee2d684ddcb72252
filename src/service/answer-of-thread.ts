import { Worker } from 'node:worker_threads';
import { ioError, messageOf } from '../errors.ts';

/**
 * Starts a thread that answers once, by a message, and ends; resolves to the answer. For what may take a while, so that
 * nobody else has to wait for it. `file`: the thread's module, `what`: what it does. Errors: io `failed` where no answer comes.
 */
export function answerOfThread<Answer>(file: string, what: string, setup: object): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const worker = new Worker(new URL(file, import.meta.url), { workerData: setup });
		worker.once('message', resolve);
		worker.once('error', (error) => reject(ioError('failed', messageOf(error), error)));
		worker.once('exit', () => reject(ioError('failed', `the ${what} thread ended without an answer`)));
	});
}
