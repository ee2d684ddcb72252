import { EventEmitter, on } from 'node:events';
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import createDebug from 'debug';
import type { VolumeEvent } from '../control/messages.ts';
import { messageOf } from '../errors.ts';

const log = createDebug('noonmark:service:events');

const KEPT_MAX = 1000;
const LATEST_MAX = 20;
/** The file is cut back to the last KEPT_MAX events whenever it has grown to this many. */
const FILE_EVENTS_MAX = 2 * KEPT_MAX;

/** What happened to the copies of a volume: one JSON line an event, in a file that outlives the service. */
export class EventLog {
	readonly #path: string;
	readonly #nowMs: () => number;
	readonly #noted = new EventEmitter().setMaxListeners(0);
	#all: VolumeEvent[];
	#inFileCount: number;

	/** The log in a storage directory; what is in it already is read, if it can be. */
	constructor(storage: string, nowMs: () => number) {
		this.#path = eventsPath(storage);
		this.#nowMs = nowMs;
		const text = attempt(() => readText(storage)) ?? '';
		const events = eventsIn(text);
		// Behind a line that a power cut tore, the next event would be lost with it: then the file is written anew.
		this.#inFileCount = text === '' || text.endsWith('\n') ? events.length : FILE_EVENTS_MAX;
		this.#all = events.slice(-KEPT_MAX);
	}

	/** The last 1000 events, oldest first. */
	get all(): readonly VolumeEvent[] {
		return this.#all;
	}

	/** The last few of them, for a status. */
	get latest(): readonly VolumeEvent[] {
		return this.#all.slice(-LATEST_MAX);
	}

	/**
	 * Puts an event on record; `fault` is the name of what caused it, null where nothing did. A full disk does not make it
	 * fail: the event is remembered, and logged.
	 */
	note(kind: string, fault: string | null, message: string): void {
		const event = { time: new Date(this.#nowMs()).toISOString(), kind, fault, message };
		this.#all = [...this.#all, event].slice(-KEPT_MAX);
		log('%s: %s', kind, message);
		try {
			this.#write(event);
		} catch (error) {
			log('%s: %s', this.#path, messageOf(error));
		}
		this.#noted.emit('event', event);
	}

	/** Every event that is on record, then each one as it is noted, until `close` or until the signal aborts it. */
	async *follow(signal: AbortSignal): AsyncGenerator<VolumeEvent> {
		const coming = on(this.#noted, 'event', { close: ['close'], signal });
		yield* this.#all;
		for await (const [event] of coming) yield event as VolumeEvent;
	}

	/** Ends whoever follows. */
	close(): void {
		this.#noted.emit('close');
	}

	#write(event: VolumeEvent): void {
		if (this.#inFileCount < FILE_EVENTS_MAX) {
			appendFileSync(this.#path, lineOf(event), { mode: 0o600 });
			this.#inFileCount++;
			return;
		}
		writeFileSync(`${this.#path}.new`, this.#all.map(lineOf).join(''), { mode: 0o600 });
		renameSync(`${this.#path}.new`, this.#path);
		this.#inFileCount = this.#all.length;
	}
}

function attempt<T>(action: () => T): T | undefined {
	try {
		return action();
	} catch (error) {
		log('%s', messageOf(error));
		return undefined;
	}
}

/** The file in a storage directory. */
export const eventsPath = (storage: string) => join(storage, 'events.jsonl');

const lineOf = (event: VolumeEvent) => `${JSON.stringify(event)}\n`;

/** The events in a storage directory, oldest first; none where there is no such file. Errors: those of reading it. */
export const readEvents = (storage: string): VolumeEvent[] => eventsIn(readText(storage));

/** Empty where there is no such file. */
function readText(storage: string): string {
	try {
		return readFileSync(eventsPath(storage), 'utf8');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
		throw error;
	}
}

function eventsIn(text: string): VolumeEvent[] {
	return text
		.split('\n')
		.filter(Boolean)
		.flatMap((line) => {
			try {
				return [JSON.parse(line) as VolumeEvent];
			} catch {
				return []; // the line that a power cut left half-written
			}
		});
}
