import createDebug from 'debug';
import { messageOf } from '../errors.ts';
import type { ProvidedCopy } from '../shadow/provider.ts';
import { type LiveThread, NeedThread } from './thread-clients.ts';

const log = createDebug('noonmark:service:need');

/** Has it found out what is owed to copies, in threads that end when they know; the live thread is told. */
export class NeedReader {
	readonly #live: LiveThread;
	readonly #volumePath: string;
	readonly #threads = new Set<NeedThread>();

	constructor(live: LiveThread, volumePath: string) {
		this.#live = live;
		this.#volumePath = volumePath;
	}

	find(copies: readonly ProvidedCopy[]): void {
		if (copies.length === 0) return;
		const setup = {
			volumePath: this.#volumePath,
			diffArea: this.#live.diffArea,
			copies: copies.map(({ number, copy }) => ({ epoch: number, isFrozen: !copy.attributes.includes('noWriters') })),
		};
		const thread = new NeedThread(setup, (news) => {
			this.#live.learnOwed(news).catch((error) => log('what is owed: %s', messageOf(error)));
		});
		this.#threads.add(thread);
		void thread.ended.then(() => this.#threads.delete(thread));
	}

	/** What is not known by now stays unknown: every chunk counts. */
	async stop(): Promise<void> {
		await Promise.all([...this.#threads].map((thread) => thread.stop()));
	}
}
