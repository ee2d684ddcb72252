/** Verifying shadow copies, of a mounted volume in a thread of its own. */
import { on } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { VerifiedCopy, VerifyNews } from '../control/messages.ts';
import type { DiffAreaShare } from '../diff/diff-area-types.ts';
import type { SegmentToVerify } from '../diff/verify.ts';
import { errorFromPlain, ioError, messageOf, NoonmarkError, type PlainError } from '../errors.ts';
import type { ProvidedCopy } from '../shadow/provider.ts';
import type { Progress, VerifyOrder } from './verify-copies.ts';

/** What the thread says. */
export type VerifyThreadNews =
	| { readonly progress: Progress }
	| { readonly copies: readonly VerifiedCopy[] }
	| { readonly error: PlainError };

/** What is to be verified of these copies: those that can be read. */
export function verifyOrder(
	volumePath: string,
	diffArea: DiffAreaShare,
	segments: readonly SegmentToVerify[],
	copies: readonly ProvidedCopy[],
): VerifyOrder {
	const readable = copies.filter(({ fault }) => fault === null);
	const named = readable.map(({ copy: { id, name }, number }) => ({ epoch: number, id, name }));
	return { volumePath, diffArea, segments, copies: named };
}

/** What was found of all copies, those that cannot be read at all among them. */
export const withUnreadable = (copies: readonly ProvidedCopy[], verified: readonly VerifiedCopy[]): VerifiedCopy[] =>
	copies.flatMap(({ copy: { id, name }, fault }): VerifiedCopy[] => {
		if (fault !== null) return [{ id, name, state: 'unreadable', faults: [fault], files: [], otherBlocks: 0 }];
		return verified.filter((found) => found.id === id);
	});

/** Verifies all copies, those that can be read in a thread; progress comes first, what was found last. */
export async function* verifyProvided(
	order: VerifyOrder,
	copies: readonly ProvidedCopy[],
	gone: AbortSignal,
): AsyncGenerator<VerifyNews> {
	for await (const news of verifyInThread(order, gone)) {
		yield 'copies' in news ? { copies: withUnreadable(copies, news.copies) } : news;
	}
}

/** Carries out the order in a thread; progress comes first, what was found last. Abandoned when `gone` aborts. */
async function* verifyInThread(order: VerifyOrder, gone: AbortSignal): AsyncGenerator<VerifyNews> {
	const worker = new Worker(new URL('./verify-thread.js', import.meta.url), { workerData: order });
	const ended = new Error('the verifying thread ended without an answer');
	worker.once('exit', () => worker.emit('error', ended));
	try {
		for await (const [news] of on(worker, 'message', { signal: gone }) as AsyncIterable<[VerifyThreadNews]>) {
			if ('error' in news) throw errorFromPlain(news.error);
			yield news;
			if ('copies' in news) return;
		}
	} catch (error) {
		if (error instanceof NoonmarkError) throw error;
		throw ioError('failed', messageOf(error), error);
	} finally {
		worker.removeAllListeners('exit').on('error', () => {});
		await worker.terminate();
	}
}
