/**
 * Creating a shadow copy set, in VSS's order:
 *
 *     prepare → freeze → hold → commit → release → thaw → finish
 *
 * each step on all volumes before the next one. Any failure aborts the whole set. Whatever happens, held writes are
 * released and writers are thawed: a hold ends by itself after 10 s, a set whose writers are still frozen after 60 s
 * fails, and so does one for which a disk has not answered for 5 min before or after that.
 */
import { messageOf, NoonmarkError, refused } from '../errors.ts';
import type { Provider } from './provider.ts';
import type { ShadowCopy } from './shadow-copy.ts';
import type { Writer } from './writers.ts';

export interface Deadlines {
	/** How long writes may be held. */
	readonly holdMs: number;
	/** How long writers may be frozen, from the first freeze to the last thaw; and how long each may take to thaw. */
	readonly freezeMs: number;
	/** How long a volume or writer may take to write out what it has, and a volume to put the copy on record. */
	readonly writeOutMs: number;
}

/** VSS's own are the first two. What is written out may be much, and the disk slow. */
const DEADLINES: Deadlines = { holdMs: 10_000, freezeMs: 60_000, writeOutMs: 300_000 };

/** A volume as the coordinator sees it. */
export interface VolumeHandle {
	readonly volume: string;
	readonly provider: Provider;
	/** Found anew for each creation: what is mounted changes. */
	writers(): Promise<Writer[]>;
	/** From its return on no write reaches the volume, until `release`, or until `timeoutMs` have passed. */
	hold(timeoutMs: number): Promise<void>;
	/** False where the hold had ended by itself: what was committed is no point in time then. */
	release(): Promise<boolean>;
}

/** One copy of the set. */
export interface SetMember {
	readonly handle: VolumeHandle;
	/** Called at the point in time, with the number of writers that are frozen. */
	readonly describe: (frozenWriters: number) => ShadowCopy;
}

export class Coordinator {
	readonly #deadlines: Deadlines;
	#busy = false;
	#frozen = false;

	constructor(deadlines: Deadlines = DEADLINES) {
		this.#deadlines = deadlines;
	}

	/** Whether a set has its writers frozen at this moment. */
	get frozen(): boolean {
		return this.#frozen;
	}

	/**
	 * Errors: refused `creation-in-progress`; io `freeze-failed`, `thaw-failed`, `hold-expired`, `deadline-passed`; a
	 * provider's own.
	 */
	async create(members: readonly SetMember[]): Promise<ShadowCopy[]> {
		if (this.#busy) {
			throw refused(
				'creation-in-progress',
				'a shadow copy of this volume is being created: wait until it is done, and try again',
			);
		}
		this.#busy = true;
		try {
			return await this.#createSet(members);
		} finally {
			this.#busy = false;
		}
	}

	async #createSet(members: readonly SetMember[]): Promise<ShadowCopy[]> {
		const handles = members.map(({ handle }) => handle);
		const writersOf = await Promise.all(handles.map((handle) => handle.writers()));
		const writers = writersOf.flat();
		try {
			await Promise.all(
				handles.map((handle) => this.#writtenOut(handle, handle.provider.prepare(), 'no copy was made')),
			);
			const copies = await this.#frozenStep(writers, (checkInTime) =>
				this.#commitHeld(handles, checkInTime, () => members.map(({ describe }, i) => describe(writersOf[i]!.length))),
			);
			await Promise.all(
				handles.map((handle) => this.#writtenOut(handle, handle.provider.finish(), 'there may be a copy')),
			);
			return copies;
		} catch (error) {
			const aborts = Promise.allSettled(handles.map(({ provider }) => provider.abort()));
			// What does not answer is aborted when it does; its user need not wait for that.
			await withDeadline(aborts, this.#deadlines.holdMs, '').catch(() => undefined);
			throw error;
		}
	}

	#writtenOut({ volume }: VolumeHandle, step: Promise<void>, outcome: string): Promise<void> {
		const { writeOutMs } = this.#deadlines;
		const since = `its disk, or that of its storage, has not answered for ${writeOutMs / 1000} s`;
		return withDeadline(step, writeOutMs, `${volume}: ${since}; ${outcome}`);
	}

	/** Errors of preparing do not matter, but who cannot be written out now is not frozen, where all would wait for it. */
	#prepared(writer: Writer): Promise<void> {
		const { writeOutMs } = this.#deadlines;
		const message = `${writer.name} could not be written out within ${writeOutMs / 1000} s; see why its disk does not answer, or make the copy with --no-writers`;
		return withDeadline(
			writer.prepare().catch(() => undefined),
			writeOutMs,
			message,
		);
	}

	/**
	 * Runs `step` with all writers frozen, within the deadline; thaws them whatever happens. What cannot be thawed is still
	 * frozen, which its user must be told, or somebody else has thawed it, and the copy may be torn. The step must do nothing
	 * for good when `checkInTime` throws.
	 */
	async #frozenStep<T>(writers: readonly Writer[], step: (checkInTime: () => void) => Promise<T>): Promise<T> {
		const { freezeMs } = this.#deadlines;
		let expired = false;
		const checkInTime = () => {
			if (expired) throw new Error('the deadline has passed'); // nobody listens any more
		};
		const frozenStep = async () => {
			await Promise.all(writers.map(freeze));
			checkInTime();
			return step(checkInTime);
		};
		let result: T;
		let thaws: PromiseSettledResult<void>[];
		try {
			await Promise.all(writers.map((writer) => this.#prepared(writer)));
			this.#frozen = writers.length > 0;
			result = await withDeadline(
				frozenStep(),
				freezeMs,
				`the copy was not made within the ${freezeMs / 1000} s that writers may be frozen`,
			);
		} finally {
			expired = true;
			const late = `it has not answered for ${freezeMs / 1000} s`;
			thaws = await Promise.allSettled(writers.map((writer) => withDeadline(writer.thaw(), freezeMs, late)));
			this.#frozen = false;
		}
		for (const [i, thaw] of thaws.entries()) if (thaw.status === 'rejected') throw notThawed(writers[i]!, thaw.reason);
		return result;
	}

	async #commitHeld(
		handles: readonly VolumeHandle[],
		checkInTime: () => void,
		describe: () => ShadowCopy[],
	): Promise<ShadowCopy[]> {
		const { holdMs } = this.#deadlines;
		let copies: ShadowCopy[];
		let unbroken = false;
		try {
			await Promise.all(handles.map((handle) => handle.hold(holdMs)));
			checkInTime();
			copies = describe();
			await Promise.all(handles.map(({ provider }, i) => provider.commit(copies[i]!)));
		} finally {
			const released = await Promise.allSettled(handles.map((handle) => handle.release()));
			unbroken = released.every((result) => result.status === 'fulfilled' && result.value);
		}
		if (!unbroken) {
			throw new NoonmarkError(
				'io',
				'hold-expired',
				`the copy was not made within the ${holdMs / 1000} s that writes may be held`,
			);
		}
		return copies;
	}
}

async function freeze(writer: Writer): Promise<void> {
	try {
		await writer.freeze();
	} catch (error) {
		throw new NoonmarkError('io', 'freeze-failed', `${writer.name} could not be frozen: ${messageOf(error)}`, {
			cause: error,
		});
	}
}

const notThawed = (writer: Writer, reason: unknown) =>
	new NoonmarkError('io', 'thaw-failed', `${writer.name} could not be thawed: ${messageOf(reason)}`, { cause: reason });

/** Errors: io `deadline-passed`. The promise itself goes on; its end is not waited for. */
async function withDeadline<T>(promise: Promise<T>, timeoutMs: number, message: string): Promise<T> {
	let timer: NodeJS.Timeout | undefined;
	promise.catch(() => undefined);
	const deadline = new Promise<never>((_, reject) => {
		timer = setTimeout(() => reject(new NoonmarkError('io', 'deadline-passed', message)), timeoutMs);
	});
	try {
		return await Promise.race([promise, deadline]);
	} finally {
		clearTimeout(timer);
	}
}
