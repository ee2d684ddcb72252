/**
 * The loop that serves a FUSE mount: read a request, answer it, and nothing else in between but what the owner asks for.
 * It blocks its thread, so it is the body of a worker thread; several threads may serve one descriptor, each with a
 * session of its own, and the kernel hands every request to one of them.
 *
 * Waiting is what costs: a thread that sleeps in poll(2) is woken some 50 µs after the request was queued, longer than
 * most requests take to answer. So after a request the loop spins over a non-blocking read for a moment, in which a
 * busy client's next request arrives, and only then sleeps (see turns.ts): an idle mount costs no CPU.
 *
 * To answer is what costs next: each reply wakes somebody, who takes the processor before the next request can be read.
 * So replies to writes, of which a disk gets many at a time, wait until all that were queued are done; then they are sent
 * with one call.
 */
import { writeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { ioError } from '../errors.ts';
import { PollSet, readOrErrno } from '../system/libc.ts';
import { WriteBatch } from '../system/write-batch.ts';
import { EAGAIN, EINTR, EIO, ENODEV, ENOENT, ENOSYS, errnoOf } from './errno.ts';
import { type InitFeatures, negotiate } from './init.ts';
import {
	FUSE_BATCH_FORGET,
	FUSE_DESTROY,
	FUSE_FORGET,
	FUSE_INIT,
	FUSE_INTERRUPT,
	FUSE_WRITE,
	MAX_CONTENT_BYTES,
	outHeader,
	writeOut,
} from './protocol.ts';
import { Request } from './request.ts';
import { STANDBY_MS, Turns } from './turns.ts';

/** A file system that the kernel asks. One thread calls it, one request at a time. */
export interface RequestHandler {
	readonly features: InitFeatures;

	/**
	 * Answers a request by writing into `reply` (MAX_CONTENT_BYTES long; not cleared). Returns the number of bytes of the
	 * reply, or minus errno. What it throws is answered with the errno of that error and logged.
	 */
	handle(request: Request, reply: Buffer): number;

	/** Called again and again while the session spins: for some 20 µs of work, which is of use for later requests. */
	whileSpinning?(): void;
}

export interface SessionOptions {
	/** /dev/fuse, opened O_RDWR | O_NONBLOCK and mounted. */
	readonly fd: number;
	/** Non-blocking eventfds: who writes to one has `betweenRequests` called soon. */
	readonly wakeFds: readonly number[];
	readonly handler: RequestHandler;
	/** Where others serve the mount, too. */
	readonly turns?: Turns;
	/**
	 * Called when woken, and after every request, or after several writes: this thread has answered all that it took. Returns
	 * the milliseconds after which it wants to be called again even if nothing happens, -1 for no need, or 'stop'.
	 */
	betweenRequests(): number | 'stop';
	log(message: string, error: unknown): void;
}

const NO_REPLY = Number.MIN_SAFE_INTEGER;

/** The first reply of a batch waits for the others: for so many writes, and about so many bytes of them. */
const BATCH_COUNT_MAX = 64;
const BATCH_BYTES_MAX = 1 << 18;

/**
 * Serves until the file system is unmounted or `betweenRequests` says stop; stopping leaves the mount in place, for other
 * sessions on it. Errors: `io` (`fuse-read-failed`) where /dev/fuse cannot be read for another reason.
 */
export function runSession(options: SessionOptions): 'unmounted' | 'stopped' {
	const { fd, wakeFds } = options;
	const answering = new Answering(options);
	const { turns = new Turns() } = options;
	const requests = new PollSet([fd]);
	const isAnotherThere = () => options.turns !== undefined && requests.wait(0) > 0;
	const [waiting, standingBack] = [new PollSet([...wakeFds, fd]), new PollSet(wakeFds)];
	for (;;) {
		const received = turns.isOthersTurn ? -EAGAIN : answering.request.receive(fd);
		if (received > 0) {
			if (!answering.isForget) turns.taken(answering.request.pid, isAnotherThere);
			answering.answer(received);
			if (!answering.isGathering && options.betweenRequests() === 'stop') return 'stopped';
		} else if (received === -ENODEV) {
			return 'unmounted';
		} else if (received === -EAGAIN) {
			if (answering.isGathering) {
				answering.sendGathered();
				if (options.betweenRequests() === 'stop') return 'stopped';
				continue;
			}
			if (turns.spins()) {
				options.handler.whileSpinning?.();
				continue;
			}
			const delayMs = options.betweenRequests();
			if (delayMs === 'stop') return 'stopped';
			const wasCalled = turns.standsBack()
				? wait(standingBack, wakeFds, delayMs < 0 ? STANDBY_MS : Math.min(delayMs, STANDBY_MS))
				: wait(waiting, wakeFds, delayMs);
			const leaveMs = turns.woken(wasCalled);
			if (leaveMs > 0) wait(standingBack, wakeFds, leaveMs);
		} else if (received !== -EINTR && received !== -ENOENT) {
			// ENOENT: the request was interrupted before it could be read.
			throw ioError('fuse-read-failed', `/dev/fuse: reading a request failed: ${errnoName(-received)}`);
		}
	}
}

/** Waits; resets the eventfds that were written to, the first ones in the set. Returns whether there were any. */
function wait(set: PollSet, wakeFds: readonly number[], timeoutMs: number): boolean {
	set.wait(timeoutMs);
	const written = wakeFds.filter((_, i) => set.revents(i) !== 0);
	for (const wakeFd of written) readOrErrno(wakeFd, COUNTER);
	return written.length > 0;
}

const COUNTER = Buffer.alloc(8);

/** The buffers of one session and what it does with one request. */
class Answering {
	readonly request = new Request();
	readonly #options: SessionOptions;
	readonly #out = Buffer.alloc(outHeader.sizeBytes + MAX_CONTENT_BYTES);
	readonly #reply = this.#out.subarray(outHeader.sizeBytes);
	readonly #batch: WriteBatch;
	#batchBytes = 0;

	constructor(options: SessionOptions) {
		this.#options = options;
		this.#batch = new WriteBatch(options.fd, BATCH_COUNT_MAX, outHeader.sizeBytes + writeOut.sizeBytes);
	}

	/** A flood of these says nothing about how busy clients are. */
	get isForget(): boolean {
		return this.request.opcode === FUSE_FORGET || this.request.opcode === FUSE_BATCH_FORGET;
	}

	/** Whether replies wait to be sent. */
	get isGathering(): boolean {
		return this.#batch.count > 0;
	}

	answer(requestBytes: number): void {
		if (this.request.opcode === FUSE_WRITE) {
			this.#batch.add(this.#out.subarray(0, this.#compose(this.#handle())));
			this.#batchBytes += requestBytes;
			if (this.#batch.isFull || this.#batchBytes >= BATCH_BYTES_MAX) this.sendGathered();
			return;
		}
		this.sendGathered();
		const result = this.#handle();
		this.#options.turns?.answered();
		if (result !== NO_REPLY && !this.#send(result) && result !== -EIO) this.#send(-EIO);
	}

	sendGathered(): void {
		if (!this.isGathering) return;
		this.#batchBytes = 0;
		this.#batch.write((errno) => {
			if (!isNobodyWaiting(errno)) this.#options.log('the kernel refused the reply to a write', errnoName(errno));
		});
	}

	#handle(): number {
		const { request } = this;
		const { handler, log } = this.#options;
		try {
			if (this.isForget) return NO_REPLY;
			switch (request.opcode) {
				case FUSE_INIT:
					return negotiate(request, this.#reply, handler.features);
				case FUSE_INTERRUPT: // Answered so once, the kernel sends no more of them.
					return -ENOSYS;
				case FUSE_DESTROY:
					return 0;
				default:
					return handler.handle(request, this.#reply);
			}
		} catch (error) {
			log(`FUSE request ${request.opcode} for node ${request.nodeHigh}:${request.nodeLow} failed`, error);
			return -errnoOf(error);
		}
	}

	/** Puts the header before what the handler wrote; returns the length of the reply. */
	#compose(result: number): number {
		const lengthBytes = outHeader.sizeBytes + Math.max(result, 0);
		const { fields } = outHeader;
		fields.lengthBytes.write(this.#out, fields.lengthBytes.at, lengthBytes);
		fields.error.write(this.#out, fields.error.at, Math.min(result, 0));
		fields.uniqueLow.write(this.#out, fields.uniqueLow.at, this.request.uniqueLow);
		fields.uniqueHigh.write(this.#out, fields.uniqueHigh.at, this.request.uniqueHigh);
		return lengthBytes;
	}

	/** False where the kernel did not take the reply as it is. */
	#send(result: number): boolean {
		const lengthBytes = this.#compose(result);
		try {
			writeSync(this.#options.fd, this.#out, 0, lengthBytes);
			return true;
		} catch (error) {
			if (isNobodyWaiting(-(error as NodeJS.ErrnoException).errno!)) return true;
			this.#options.log(`FUSE request ${this.request.opcode}: the kernel refused the reply`, error);
			return false;
		}
	}
}

/** For the answer: the request was interrupted, or the mount is gone. */
const isNobodyWaiting = (errno: number) => errno === ENOENT || errno === ENODEV;

function errnoName(errno: number): string {
	return getSystemErrorName(-errno);
}
