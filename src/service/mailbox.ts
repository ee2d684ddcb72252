/**
 * Orders from the main thread to a thread that blocks in its FUSE session.
 *
 * The main thread posts an order and wakes the session through an eventfd; the session takes orders between two
 * requests. Answers and news come back as ordinary messages, so the main thread never blocks.
 */
import { readSync, writeSync } from 'node:fs';
import { MessageChannel, type MessagePort, receiveMessageOnPort, type TransferListItem } from 'node:worker_threads';
import { errorFromPlain, NoonmarkError, type PlainError, plainError } from '../errors.ts';
import { eventfd, PollSet } from '../system/libc.ts';

/** What wakes who polls an eventfd. */
export const WAKE = Buffer.from(new BigUint64Array([1n]).buffer);

type FromThread =
	| { readonly answerTo: number; readonly value: unknown }
	| { readonly answerTo: number; readonly error: PlainError }
	| { readonly news: unknown };

/** An order as it travels. `taken`: see TAKING; without, it cannot be withdrawn. */
interface Message<Order> {
	readonly id: number;
	readonly order: Order;
	readonly taken?: Int32Array<SharedArrayBuffer>;
}

/** Whoever changes it first has it: the thread carries the order out, or who sent it has withdrawn it. */
const TAKING = { open: 0, taken: 1, withdrawn: 2 } as const;

/** The thread's end, as it travels to the thread in its workerData. */
export interface MailboxEnd {
	readonly port: MessagePort;
	readonly pending: SharedArrayBuffer;
	readonly wakeFd: number;
}

/** The main thread's end. */
export class Mailbox<Order, News> {
	readonly end: MailboxEnd;
	readonly #onNews: (news: News) => void;
	readonly #port: MessagePort;
	readonly #pending: Int32Array;
	readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
	#nextId = 1;
	#closed: NoonmarkError | undefined;

	constructor(onNews: (news: News) => void) {
		this.#onNews = onNews;
		const { port1, port2 } = new MessageChannel();
		this.#port = port1;
		this.end = { port: port2, pending: new SharedArrayBuffer(4), wakeFd: eventfd() };
		this.#pending = new Int32Array(this.end.pending);
		port1.on('message', this.#receive);
	}

	get transferList(): TransferListItem[] {
		return [this.end.port];
	}

	readonly #receive = (message: FromThread): void => {
		if ('news' in message) {
			this.#onNews(message.news as News);
			return;
		}
		const waiting = this.#waiting.get(message.answerTo);
		this.#waiting.delete(message.answerTo);
		if ('value' in message) waiting?.resolve(message.value);
		else waiting?.reject(errorFromPlain(message.error));
	};

	/** Has the order carried out between two requests of the session; resolves to the thread's answer. */
	send<Answer>(order: Order): Promise<Answer> {
		return this.#post({ id: this.#nextId++, order });
	}

	/**
	 * As `send`, but waits for so long at most. What the thread has not taken by then is withdrawn: it is not carried out
	 * later. Errors: `late(isTaken)`.
	 */
	async ask<Answer>(order: Order, timeoutMs: number, late: (isTaken: boolean) => Error): Promise<Answer> {
		const id = this.#nextId++;
		const taken = new Int32Array(new SharedArrayBuffer(4));
		const timer = setTimeout(() => {
			const state = Atomics.compareExchange(taken, 0, TAKING.open, TAKING.withdrawn);
			this.#waiting.get(id)?.reject(late(state === TAKING.taken));
			this.#waiting.delete(id);
		}, timeoutMs);
		try {
			return await this.#post<Answer>({ id, order, taken });
		} finally {
			clearTimeout(timer);
		}
	}

	#post<Answer>(message: Message<Order>): Promise<Answer> {
		return new Promise<Answer>((resolve, reject) => {
			if (this.#closed) return reject(this.#closed);
			this.#waiting.set(message.id, { resolve: resolve as (value: unknown) => void, reject });
			this.#port.postMessage(message);
			Atomics.add(this.#pending, 0, 1);
			writeSync(this.end.wakeFd, WAKE);
		});
	}

	/** The thread is gone: whoever waits for an answer, or asks from now on, is told so. What it said last is taken first. */
	close(reason: string): void {
		for (let last = receiveMessageOnPort(this.#port); last; last = receiveMessageOnPort(this.#port)) {
			this.#receive(last.message as FromThread);
		}
		this.#closed = new NoonmarkError('io', 'thread-ended', reason);
		for (const { reject } of this.#waiting.values()) reject(this.#closed);
		this.#waiting.clear();
		this.#port.close();
	}
}

/** The thread's side: takes orders without blocking. */
export class OrderTaker<Order> {
	readonly wakeFd: number;
	readonly #port: MessagePort;
	readonly #pending: Int32Array;
	readonly #poll: PollSet;

	constructor(end: MailboxEnd) {
		this.wakeFd = end.wakeFd;
		this.#port = end.port;
		this.#pending = new Int32Array(end.pending);
		this.#poll = new PollSet([end.wakeFd]);
	}

	/** Carries out the orders that have come. `carryOut` returns the answer, or throws it. */
	takeAll(carryOut: (order: Order) => unknown): void {
		while (Atomics.load(this.#pending, 0) > 0) {
			const received = receiveMessageOnPort(this.#port) as { message: Message<Order> } | undefined;
			if (!received) return;
			Atomics.sub(this.#pending, 0, 1);
			const { id, order, taken } = received.message;
			if (taken && Atomics.compareExchange(taken, 0, TAKING.open, TAKING.taken) !== TAKING.open) continue;
			try {
				this.#port.postMessage({ answerTo: id, value: carryOut(order) });
			} catch (error) {
				this.#port.postMessage({ answerTo: id, error: plainError(error) });
			}
		}
	}

	/** Blocks until an order may have come, at most so long. */
	wait(timeoutMs: number): void {
		if (this.#poll.wait(timeoutMs) > 0) readSync(this.wakeFd, Buffer.alloc(8));
	}

	tell(news: unknown): void {
		this.#port.postMessage({ news });
	}
}
