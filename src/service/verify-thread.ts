/** Verifies the shadow copies of a mounted volume, off the live thread, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { plainError } from '../errors.ts';
import type { VerifyThreadNews } from './verify.ts';
import { type VerifyOrder, verifyCopies } from './verify-copies.ts';

const tell = (news: VerifyThreadNews) => parentPort!.postMessage(news);

try {
	const copies = verifyCopies(workerData as VerifyOrder, (progress) => tell({ progress }));
	tell({ copies });
} catch (error) {
	tell({ error: plainError(error) });
}
