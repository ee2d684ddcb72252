/**
 * Who waits for the next request, where several sessions serve one mount. The kernel wakes every session that sleeps on
 * the descriptor, for each request; with a client that asks one thing at a time all but one wake for nothing, and take the
 * processor that the client runs on. So a session that was woken for nothing a few times in a row stands back: it does
 * not wait for requests while others answer them. It comes back when it is called, by one that finds the next request
 * waiting already, and when nobody has taken a request for STANDBY_MS: all are idle, or whoever was to take it is stuck.
 * Nothing depends on this but speed: two may always wait, and if for once nobody does, it is for STANDBY_MS.
 *
 * Before it sleeps, a session spins for a while, for to be woken takes longer than most requests; as long as its client
 * lately took to ask again, twice over, within bounds. One of them spins at a time.
 */

/** For how long a session that stands back relies on the others. */
export const STANDBY_MS = 50;

const SPIN_MS_MIN = 0.05;
const SPIN_MS_MAX = 0.5;
const USELESS_WAKES_MAX = 3;

const TAKEN = 0;
/** The number of the session that spins, or 0. */
const SPINNER = 1;
/** A bit for each session that stands back. */
const STANDING_BACK = 2;
const WORDS = 3;

/** What the sessions of a mount share: plain data. */
export type TurnsShare = SharedArrayBuffer;

export const createTurnsShare = (): TurnsShare => new SharedArrayBuffer(4 * WORDS);

/** Frees what a session that has ended, by a crash perhaps, may have held. */
export function releaseTurn(share: TurnsShare, sessionNumber: number): void {
	const state = new Int32Array(share);
	Atomics.compareExchange(state, SPINNER, sessionNumber, 0);
	Atomics.and(state, STANDING_BACK, ~(1 << sessionNumber));
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
	#uselessWakes = 0;
	#isBack = false;
	#takenBefore = 0;

	/** Without options: for a session that knows of no others. */
	constructor(options?: TurnsOptions) {
		this.#state = new Int32Array(options?.share ?? createTurnsShare());
		this.#number = options?.sessionNumber ?? 1;
		this.#callOthers = options?.callOthers;
	}

	/** A request was taken. */
	taken(): void {
		Atomics.add(this.#state, TAKEN, 1);
		this.#uselessWakes = 0;
		if (this.#idleSinceMs === undefined) {
			if (Atomics.load(this.#state, STANDING_BACK) !== 0) this.#callOthers?.();
			return;
		}
		this.#stopSpinning();
		const waitedMs = performance.now() - this.#idleSinceMs;
		this.#idleSinceMs = undefined;
		this.#spinMs = waitedMs <= SPIN_MS_MAX ? Math.max(SPIN_MS_MIN, Math.min(SPIN_MS_MAX, 2 * waitedMs)) : SPIN_MS_MIN;
	}

	/** There is no request: whether to look again at once. */
	spins(): boolean {
		const nowMs = performance.now();
		this.#idleSinceMs ??= nowMs;
		if (nowMs - this.#idleSinceMs < this.#spinMs && this.#maySpin()) return true;
		this.#stopSpinning();
		return false;
	}

	/** Before the session sleeps: whether it leaves the next request to others, for STANDBY_MS at most. */
	standsBack(): boolean {
		if (!this.#callOthers || this.#uselessWakes < USELESS_WAKES_MAX) return false;
		this.#takenBefore = Atomics.load(this.#state, TAKEN);
		this.#isBack = true;
		Atomics.or(this.#state, STANDING_BACK, 1 << this.#number);
		return true;
	}

	/** After it has slept, called by another or for a request. */
	woken(wasCalled: boolean): void {
		if (!this.#isBack) {
			this.#uselessWakes += wasCalled ? 0 : 1; // until it takes the request
			return;
		}
		this.#isBack = false;
		Atomics.and(this.#state, STANDING_BACK, ~(1 << this.#number));
		if (wasCalled || Atomics.load(this.#state, TAKEN) === this.#takenBefore) this.#uselessWakes = 0;
	}

	#maySpin(): boolean {
		const spinner = Atomics.compareExchange(this.#state, SPINNER, 0, this.#number);
		return spinner === 0 || spinner === this.#number;
	}

	#stopSpinning(): void {
		Atomics.compareExchange(this.#state, SPINNER, this.#number, 0);
	}
}
