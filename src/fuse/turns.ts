/**
 * Who waits for the next request, where several sessions serve one mount. The kernel wakes every session that sleeps on
 * the descriptor, for each request; with a client that asks one thing at a time all but one wake for nothing, take the
 * processor that the client runs on, and sometimes the request, for which another has prepared and has its code compiled.
 * So from the start, and when requests have come one at a time for a while, all sessions but the one that took the last
 * one stand back: they neither wait for requests nor take any while others answer them. They come back when they are
 * called, by one that finds two requests at once, that of another client after the last one, or one while another is
 * being answered; and when nobody has taken a request for STANDBY_MS: all are idle, or whoever was to take it is stuck.
 * Then they still let that one take the next request, if it does at once: its code is compiled, and it has cached what
 * its clients read.
 * Nothing depends on this but speed: two may always wait, and if for once nobody does, it is for STANDBY_MS.
 *
 * Before it sleeps, a session spins for a while, for to be woken takes longer than most requests; as long as its client
 * lately took to ask again, twice over, within bounds. One of them spins at a time.
 */

/** For how long a session that stands back relies on the others. */
export const STANDBY_MS = 50;
/** … and then for how long the one that took the last request may still take the next one, whose caches are warm. */
const RESERVE_MS = 1;

const SPIN_MS_MIN = 0.05;
const SPIN_MS_MAX = 0.5;
/** So many requests in a row. */
const CALM_REQUESTS = 8;

const TAKEN = 0;
/** The number of the session that spins, or 0. */
const SPINNER = 1;
/** A bit for each session that stands back. */
const STANDING_BACK = 2;
/** How many requests in a row came one at a time. */
const CALM = 3;
/** The number of the session that took the last request. */
const TAKER = 4;
/** Who asked for that. */
const CLIENT = 5;
/** A bit for each session that answers a request. */
const ANSWERING = 6;
const WORDS = 7;

/** What the sessions of a mount share: plain data. */
export type TurnsShare = SharedArrayBuffer;

export function createTurnsShare(): TurnsShare {
	const share = new SharedArrayBuffer(4 * WORDS);
	new Int32Array(share)[CALM] = CALM_REQUESTS;
	return share;
}

/** Frees what a session that has ended, by a crash perhaps, may have held. */
export function releaseTurn(share: TurnsShare, sessionNumber: number): void {
	const state = new Int32Array(share);
	Atomics.compareExchange(state, SPINNER, sessionNumber, 0);
	for (const sessions of [STANDING_BACK, ANSWERING]) Atomics.and(state, sessions, ~(1 << sessionNumber));
}

export interface TurnsOptions {
	readonly share: TurnsShare;
	/** 1 to 31: no other session of the mount has it. */
	readonly sessionNumber: number;
	/** Makes the sessions that stand back return from their wait. */
	callOthers(): void;
}

export class Turns {
	readonly #state: Int32Array;
	readonly #number: number;
	/** Undefined: there are none. */
	readonly #callOthers: (() => void) | undefined;
	#spinMs = SPIN_MS_MIN;
	#idleSinceMs: number | undefined;
	#isBack = false;
	#takenBefore = 0;
	/** Nobody has taken a request for STANDBY_MS: it waits for the next one, in case that nobody takes that. */
	#isReserve = false;

	/** Without options: for a session that knows of no others. */
	constructor(options?: TurnsOptions) {
		this.#state = new Int32Array(options?.share ?? createTurnsShare());
		this.#number = options?.sessionNumber ?? 1;
		this.#callOthers = options?.callOthers;
	}

	/** Whether the next request is for another session, the one that took the last: this one is not to take any. */
	get isOthersTurn(): boolean {
		const taker = this.#state[TAKER]!;
		const isCalm = this.#callOthers !== undefined && this.#state[CALM]! >= CALM_REQUESTS;
		return isCalm && !this.#isReserve && taker !== 0 && taker !== this.#number;
	}

	/**
	 * A request was taken; `client` is the number of the thread that waits for it. `isAnotherThere` says whether the next
	 * one is there already: that the session found this one when it came back to look says only that its client is quick,
	 * or has its processor, unless it is another client than the last one.
	 */
	taken(client: number, isAnotherThere: () => boolean): void {
		Atomics.add(this.#state, TAKEN, 1);
		this.#state[TAKER] = this.#number;
		const lastClient = this.#state[CLIENT]!;
		this.#state[CLIENT] = client;
		const answering = Atomics.or(this.#state, ANSWERING, 1 << this.#number);
		const isOneOfTwo =
			(answering & ~(1 << this.#number)) !== 0 ||
			(this.#idleSinceMs === undefined && ((lastClient !== 0 && lastClient !== client) || isAnotherThere()));
		if (isOneOfTwo) this.#crowd();
		else this.#state[CALM]!++;
		if (this.#idleSinceMs === undefined) return;
		this.#stopSpinning();
		const waitedMs = performance.now() - this.#idleSinceMs;
		this.#idleSinceMs = undefined;
		this.#spinMs = waitedMs <= SPIN_MS_MAX ? Math.max(SPIN_MS_MIN, Math.min(SPIN_MS_MAX, 2 * waitedMs)) : SPIN_MS_MIN;
	}

	/** The request that was taken will be answered at once. */
	answered(): void {
		Atomics.and(this.#state, ANSWERING, ~(1 << this.#number));
	}

	/** There is no request: whether to look again at once. */
	spins(): boolean {
		const nowMs = performance.now();
		this.#idleSinceMs ??= nowMs;
		if (nowMs - this.#idleSinceMs < this.#spinMs && !this.isOthersTurn && this.#maySpin()) return true;
		this.#stopSpinning();
		return false;
	}

	/** Before the session sleeps: whether it leaves the next request to others, for STANDBY_MS at most. */
	standsBack(): boolean {
		if (!this.isOthersTurn) return false;
		this.#takenBefore = Atomics.load(this.#state, TAKEN);
		this.#isBack = true;
		Atomics.or(this.#state, STANDING_BACK, 1 << this.#number);
		return true;
	}

	/** After it has slept, called by another or for a request. Returns for how many ms it leaves the request to others. */
	woken(wasCalled: boolean): number {
		const delayMs = this.#isReserve && !wasCalled ? RESERVE_MS : 0;
		this.#isReserve = false;
		if (!this.#isBack) return delayMs;
		this.#isBack = false;
		Atomics.and(this.#state, STANDING_BACK, ~(1 << this.#number));
		if (wasCalled) this.#state[CALM] = 0;
		else this.#isReserve = Atomics.load(this.#state, TAKEN) === this.#takenBefore;
		return 0;
	}

	#crowd(): void {
		this.#state[CALM] = 0;
		if (Atomics.load(this.#state, STANDING_BACK) !== 0) this.#callOthers?.();
	}

	#maySpin(): boolean {
		const spinner = Atomics.compareExchange(this.#state, SPINNER, 0, this.#number);
		return spinner === 0 || spinner === this.#number;
	}

	#stopSpinning(): void {
		Atomics.compareExchange(this.#state, SPINNER, this.#number, 0);
	}
}
