import { appendFileSync, readFileSync } from 'node:fs';
import createDebug from 'debug';
import type { VolumeEvent } from '../control/messages.ts';
import { messageOf } from '../errors.ts';

const log = createDebug('noonmark:service:events');

const REMEMBERED_MAX = 20;

/** What happened to the copies of a volume: one JSON line an event, in a file that outlives the service. */
export class EventLog {
	readonly #path: string;
	readonly #nowMs: () => number;
	#last: VolumeEvent[];

	constructor(path: string, nowMs: () => number) {
		this.#path = path;
		this.#nowMs = nowMs;
		this.#last = readLast(path);
	}

	/** The last events, oldest first. */
	get last(): readonly VolumeEvent[] {
		return this.#last;
	}

	/** Puts an event on record. A full disk does not make it fail: the event is remembered, and logged. */
	note(kind: string, message: string): void {
		const event = { time: new Date(this.#nowMs()).toISOString(), kind, message };
		this.#last = [...this.#last, event].slice(-REMEMBERED_MAX);
		log('%s: %s', kind, message);
		try {
			appendFileSync(this.#path, `${JSON.stringify(event)}\n`, { mode: 0o600 });
		} catch (error) {
			log('%s: %s', this.#path, messageOf(error));
		}
	}
}

function readLast(path: string): VolumeEvent[] {
	let text: string;
	try {
		text = readFileSync(path, 'utf8');
	} catch {
		return [];
	}
	return text
		.split('\n')
		.filter(Boolean)
		.slice(-REMEMBERED_MAX)
		.flatMap((line) => {
			try {
				return [JSON.parse(line) as VolumeEvent];
			} catch {
				return []; // the line that a power cut left half-written
			}
		});
}
