/** Whether the shadow copies can be read. A copy does not change, so each is looked at once. */
import { setTimeout as delay } from 'node:timers/promises';
import createDebug from 'debug';
import type { CopyState } from '../control/messages.ts';
import { messageOf } from '../errors.ts';
import type { DeviceSpecification, ProvidedCopy } from '../shadow/provider.ts';
import { answerOfThread } from './answer-of-thread.ts';

const log = createDebug('noonmark:service');

export interface CopyStatesThreadSetup {
	readonly devices: readonly DeviceSpecification[];
	readonly replayJournal: boolean;
}

/** Who asks waits no longer for a disk that does not answer. */
const LOOK_MS_MAX = 10_000;

export class CopyStates {
	readonly #replayJournal: boolean;
	/** By the copies' numbers. */
	readonly #known = new Map<number, Promise<CopyState>>();

	/** `replayJournal`: as the copies are shown. */
	constructor(options: { replayJournal: boolean }) {
		this.#replayJournal = options.replayJournal;
	}

	/** The states of these copies, in their order, as far as they are known in time; they are all copies that there are. */
	of(copies: readonly ProvidedCopy[]): Promise<CopyState[]> {
		const living = new Set(copies.map(({ number }) => number));
		for (const number of this.#known.keys()) if (!living.has(number)) this.#known.delete(number);
		const unknown = copies.filter(({ number, fault }) => fault === null && !this.#known.has(number));
		if (unknown.length > 0) {
			const found = lookInto({ devices: unknown.map(({ device }) => device), replayJournal: this.#replayJournal });
			for (const [i, { number }] of unknown.entries()) {
				this.#known.set(
					number,
					found.then((states) => states[i] ?? UNKNOWN),
				);
			}
		}
		const late = delay(LOOK_MS_MAX, UNKNOWN, { ref: false });
		return Promise.all(
			copies.map(({ number, fault }) =>
				fault === null ? Promise.race([this.#known.get(number)!, late]) : { state: 'unreadable', fault },
			),
		);
	}
}

/** Of a copy that could not be looked at: whoever enters it will see. */
const UNKNOWN: CopyState = { state: 'created', fault: null };

/** In a thread of its own: a journal may be long. */
async function lookInto(setup: CopyStatesThreadSetup): Promise<readonly CopyState[]> {
	try {
		return await answerOfThread<readonly CopyState[]>('./copy-states-thread.js', 'looking', setup);
	} catch (error) {
		log('looking into copies: %s', messageOf(error));
		return [];
	}
}
