/**
 * Faulty devices: a workload is run again and again, and each time another one of its file calls goes wrong. A live
 * write may fail only because of the volume (or for the copies, where the policy protects them), and tells; a copy is
 * exact, or it was reported that it is gone.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { FileDevice } from '../../src/block/file-device.ts';
import type { DiffAreaEvent } from '../../src/diff/diff-area-types.ts';
import { messageOf } from '../../src/errors.ts';
import { markFor } from '../../src/service/volume-mark.ts';
import { contentFaults, presenceFaults } from './checks.ts';
import { closeAll, type FileCall, interpose, real, systemError } from './file-calls.ts';
import { KernelPlayer } from './kernel-player.ts';
import type { KernelRecording } from './kernel-recording.ts';
import { findOwed } from './owed-learner.ts';
import { scratchDirectory } from './scratch.ts';
import { type Note, VolumeModel } from './volume-model.ts';
import { chunkSizeFrom, firstContent, imageIn, Workload, type WorkloadOptions } from './workload.ts';

const STEPS = 60;
const DELAY_MS = 150;
const SECTOR_BYTES = 512;

/**
 * `eio`, `enospc`: the call fails. `torn`: half of a write is done, then it fails. `late`: it takes long. `dead`: it
 * fails, and so does every later call on that side (the volume, or the diff area). `full`: it fails, and so does
 * whatever needs room on that side later.
 */
export const FAULTS = ['eio', 'enospc', 'torn', 'late', 'dead', 'full'] as const;
export type Fault = (typeof FAULTS)[number];

export interface FaultResult {
	readonly runs: number;
	readonly failures: readonly string[];
}

export interface FaultOptions {
	readonly seed: number;
	readonly calls: number;
	readonly failuresMax?: number;
	/** What the kernel wrote, in place of random overwrites and discards. */
	readonly recording?: KernelRecording;
}

type FaultyWorkload = Omit<WorkloadOptions, 'fileSystem'> & { readonly recording: KernelRecording | undefined };

/** Runs a workload once for each kind of fault at each of `calls` of its calls, evenly spread (Infinity: all). */
export function tryFaults(options: FaultOptions): FaultResult {
	const { seed, calls, failuresMax = 10, recording } = options;
	const scratch = scratchDirectory();
	const sizeBytes = recording?.first.length ?? 180_000 + 512 * (seed % 16);
	const workload: FaultyWorkload = {
		seed,
		sizeBytes,
		chunkSizeBytes: chunkSizeFrom(seed),
		maximumBytes: seed % 2 === 0 ? null : Math.floor(1.4 * sizeBytes),
		recording,
		policy: seed % 3 === 0 ? 'protect-shadows' : 'protect-volume',
	};
	const failures: string[] = [];
	let runs = 0;
	try {
		const { calls: total, found } = new FaultyRun(`${scratch}/sound`, workload, Number.POSITIVE_INFINITY, 'eio').run();
		if (found.length > 0) return { runs: 1, failures: found };
		const count = Math.min(calls, total);
		for (let i = 0; i < count && failures.length < failuresMax; i++) {
			const call = Math.floor((i * total) / count);
			for (const fault of FAULTS) {
				const { found } = new FaultyRun(`${scratch}/faulty`, workload, call, fault).run();
				runs++;
				if (found.length > 0) failures.push(`seed ${seed}, call ${call} ${fault}: ${found.join('; ')}`);
			}
		}
		return { runs, failures };
	} finally {
		rmSync(scratch, { recursive: true, force: true });
	}
}

/** About half of a write, up to the end of a sector. */
const halfInSectors = (at: number, lengthBytes: number) =>
	Math.max(0, Math.floor((at + lengthBytes / 2) / SECTOR_BYTES) * SECTOR_BYTES - at);

const needsRoom = (call: FileCall) =>
	call.kind === 'write' ||
	call.kind === 'reserve' ||
	call.kind === 'mkdir' ||
	(call.kind === 'open' && (call.flags & real.constants.O_CREAT) !== 0);

class FaultyRun {
	readonly #directory: string;
	readonly #options: WorkloadOptions;
	readonly #first: Buffer;
	readonly #faultyCall: number;
	readonly #fault: Fault;
	readonly #model: VolumeModel;
	readonly #found: string[] = [];
	readonly #events: DiffAreaEvent[] = [];
	#workload: Workload | undefined;
	#calls = 0;
	/** The call that went wrong first. */
	#fired: FileCall | undefined;
	#isVolumeAtFault = false;
	/** The test itself reads. */
	#isLooking = false;
	/** Beside the image, on a disk of its own. */
	readonly #mark = {
		lostBefore: 0,
		onUnrecordedLoss: (lostBefore: number) => {
			this.#mark.lostBefore = lostBefore;
		},
	};
	/** A write to the volume failed, and nobody was told yet. */
	#isWriteLost = false;

	constructor(directory: string, { recording, ...options }: FaultyWorkload, faultyCall: number, fault: Fault) {
		this.#directory = directory;
		this.#options = {
			...options,
			fileSystem: recording && { player: new KernelPlayer(recording), owed: findOwed },
		};
		this.#first = recording?.first ?? firstContent(options.sizeBytes);
		this.#faultyCall = faultyCall;
		this.#fault = fault;
		this.#model = new VolumeModel(this.#first);
	}

	/** Returns what is wrong afterwards, and how many calls there were. */
	run(): { found: readonly string[]; calls: number } {
		rmSync(this.#directory, { recursive: true, force: true });
		mkdirSync(this.#directory);
		writeFileSync(imageIn(this.#directory), this.#first);
		interpose(this.#directory, (call, perform) => this.#perform(call, perform));
		try {
			this.#open();
			for (let i = 0; i < STEPS; i++) this.#attempt((workload) => workload.step());
			if (this.#faultyCall % 2 === 0) this.#attempt((workload) => workload.close());
			this.#check();
		} catch (error) {
			this.#found.push(`${this.#workload?.action ?? 'open'}: ${(error as Error).stack}`);
		} finally {
			closeAll();
			interpose(this.#directory, undefined);
		}
		const where = this.#fired ? `${this.#fired.kind} ${this.#fired.path.split('/').at(-1)}: ` : '';
		return { found: this.#found.map((fault) => where + fault), calls: this.#calls };
	}

	#perform<T>(call: FileCall, perform: () => T): T {
		if (this.#isLooking) return perform();
		const isFirst = this.#calls++ === this.#faultyCall;
		const isVolume = call.path === imageIn(this.#directory);
		const isLater = this.#fired && isVolume === this.#isVolumeAtFault;
		const isFaulty = isFirst || (isLater && (this.#fault === 'dead' || (this.#fault === 'full' && needsRoom(call))));
		if (!isFaulty) return perform();
		if (isFirst) [this.#fired, this.#isVolumeAtFault] = [call, isVolume];
		if (this.#fault === 'late') {
			this.#workload?.delay(DELAY_MS);
			return perform();
		}
		if (call.kind === 'write' && isVolume) this.#isWriteLost = true;
		if (this.#fault === 'torn' && call.kind === 'write')
			real.writeSync(call.fd, call.bytes, 0, halfInSectors(call.at, call.bytes.length), call.at);
		throw systemError(
			call.kind,
			this.#fault === 'enospc' || this.#fault === 'full' ? constants.errno.ENOSPC : constants.errno.EIO,
		);
	}

	#open(): void {
		try {
			this.#workload = this.#newWorkload();
		} catch {
			closeAll();
			this.#repair();
			this.#workload = this.#newWorkload();
		}
	}

	#newWorkload(): Workload {
		return new Workload(this.#directory, this.#options, {
			note: (note) => this.#note(note),
			noteAt: (_, note) => this.#model.apply(note),
			position: () => 0,
			stamp: () => 'unchanged',
			mark: this.#mark,
			keepMark: (diffArea) => {
				this.#mark.lostBefore = markFor(diffArea)?.lostBefore ?? 0;
			},
			event: (event) => this.#events.push(event),
		});
	}

	/** A held write that the volume refused is told at the next flush at the latest; a kill forgets it. */
	#note(note: Note): void {
		if (note.kind === 'flushed' && this.#isWriteLost) this.#found.push('nobody was told of the write that failed');
		if (note.kind === 'flushed' || note.kind === 'found') this.#isWriteLost = false;
		this.#model.apply(note);
	}

	/** Then a live write may fail, and no copy may go. */
	get #protectsShadows(): boolean {
		return this.#options.policy === 'protect-shadows';
	}

	/** From now on everything works again. */
	#repair(): void {
		interpose(this.#directory, (_, perform) => perform());
	}

	/** Goes on after an error, as a service does; where that cannot go on, it is started again. */
	#attempt(action: (workload: Workload) => void): void {
		const workload = this.#workload!;
		try {
			action(workload);
		} catch (error) {
			if (!this.#fired && !this.#protectsShadows) throw error;
			if (this.#isVolumeAtFault) this.#isWriteLost = false;
			const isLive = workload.action === 'write' || workload.action === 'flush';
			if (isLive && !this.#isVolumeAtFault && !this.#protectsShadows)
				this.#found.push(`${workload.action} fails: ${messageOf(error)}`);
			if (workload.action === 'open' || workload.action === 'close') {
				this.#repair();
				workload.reopen();
			}
			if (this.#isVolumeAtFault || this.#protectsShadows) this.#takeOver(workload);
		}
	}

	/** What a write that failed left is for the program to find out: old or new, sector by sector. */
	#takeOver(workload: Workload): void {
		const content = Buffer.alloc(this.#options.sizeBytes);
		this.#isLooking = true;
		workload.live.read(0, content);
		this.#isLooking = false;
		this.#checkLive(content);
		this.#model.apply({ kind: 'found', content });
	}

	#checkLive(content: Buffer): void {
		const wrongAt = this.#model.wrongByteOffset(content);
		if (wrongAt !== undefined) this.#found.push(`the live volume at byte ${wrongAt}`);
	}

	/** Starts again on sound disks: what was not reported lost must be there, and nothing may be wrong. */
	#check(): void {
		this.#repair();
		this.#workload!.reopen();
		const volume = FileDevice.open(imageIn(this.#directory), 'read');
		const content = Buffer.alloc(this.#options.sizeBytes);
		volume.read(0, content);
		this.#checkLive(content);
		const { diffArea } = this.#workload!;
		this.#found.push(...presenceFaults(diffArea, this.#model));
		this.#found.push(...contentFaults(diffArea, volume, this.#model.copies));
		volume.close();
		if (this.#protectsShadows && this.#events.some(({ kind }) => kind === 'copy-evicted' || kind === 'copies-lost'))
			this.#found.push(`not protected: ${JSON.stringify(this.#events)}`);
		const isPlaces = this.#fired?.path.includes('.places') && this.#fault !== 'dead' && this.#fault !== 'full';
		const isHarmless = !this.#fired || this.#fault === 'late' || isPlaces;
		if (isHarmless && this.#events.some(({ kind }) => kind === 'copies-lost'))
			this.#found.push(`unexpected: ${JSON.stringify(this.#events)}`);
	}
}
