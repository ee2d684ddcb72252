/**
 * A workload on a live volume in this process, from a seed: random overwrites, discards, flushes, creations that are
 * finished or given up, deletions of any copy, evictions, resizes, orderly restarts and kills. It
 * notes what it does for a model.
 */
import { join } from 'node:path';
import { FileDevice } from '../../src/block/file-device.ts';
import { DiffArea } from '../../src/diff/diff-area.ts';
import type { DiffAreaEvent, DiffAreaOptions, StoragePolicy } from '../../src/diff/diff-area-types.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { durableVolumeStamp } from '../../src/service/volume-stamp.ts';
import { Random } from '../helpers/random.ts';
import { closeAll, real } from './file-calls.ts';
import type { KernelPlayer } from './kernel-player.ts';
import { type CopyLabel, type OwedFinder, OwedLearner } from './owed-learner.ts';
import type { DiskWrite } from './recording-device.ts';
import type { Note } from './volume-model.ts';

const SECTOR_BYTES = 512;
/** Writes of the kernel in one step. */
const PLAYED_MAX = 24;

export interface WorkloadOptions {
	readonly seed: number;
	readonly sizeBytes: number;
	readonly chunkSizeBytes: number;
	/** null: 64 MiB, which no workload fills. */
	readonly maximumBytes: number | null;
	readonly policy: StoragePolicy;
	/** What is written, in place of random overwrites and discards: free chunks are not preserved then. */
	readonly fileSystem?: { readonly player: KernelPlayer; readonly owed: OwedFinder } | undefined;
}

/** Where the notes go. `position` and `noteAt`: to put one before what was recorded since. */
export interface Notebook {
	note(note: Note): void;
	noteAt(position: number, note: Note): void;
	position(): number;
	/** What tells whether the image was changed. */
	stamp(): string;
	/** What is kept beside the image of losses that the storage cannot take note of. */
	readonly mark: Pick<DiffAreaOptions, 'lostBefore' | 'onUnrecordedLoss'>;
	/** Brings it up to date, as a service does whenever it may say something else. */
	keepMark(diffArea: DiffArea): void;
	/** Told of everything that the diff area tells. */
	event(event: DiffAreaEvent): void;
}

/** That of a small volume, or that of a large one. */
export const chunkSizeFrom = (seed: number) => ((seed >> 1) % 2 === 0 ? 4096 : 16384);

/** Bytes of which each eight tell where they belong and which write they come from. */
export function stamped(at: number, lengthBytes: number, sequence: number): Buffer {
	const start = Math.floor(at / 8);
	const words = new Uint32Array(2 * (Math.ceil((at + lengthBytes) / 8) - start));
	for (let i = 0; i < words.length; i += 2) {
		words[i] = start + i / 2;
		words[i + 1] = sequence;
	}
	return Buffer.from(words.buffer).subarray(at - start * 8, at - start * 8 + lengthBytes);
}

/** The volume as it is before the workload: half of it holds something. */
export const firstContent = (sizeBytes: number) => Buffer.concat([stamped(0, Math.floor(sizeBytes / 2), 1)], sizeBytes);

export const imageIn = (directory: string) => join(directory, 'disk.img');
const storageIn = (directory: string) => join(directory, 'disk.img.noonmark');

export const openDiffArea = (
	directory: string,
	volumeStamp: string,
	options: Omit<WorkloadOptions, 'seed' | 'fileSystem'>,
	more: Partial<DiffAreaOptions> = {},
) =>
	DiffArea.open({
		directory: storageIn(directory),
		volumeSizeBytes: options.sizeBytes,
		volumeStamp,
		maximumBytes: options.maximumBytes ?? 64 << 20,
		policy: options.policy,
		newVolumeId: '00112233445566778899aabbccddeeff',
		newChunkSizeBytes: options.chunkSizeBytes,
		...more,
	});

export class Workload {
	readonly #directory: string;
	readonly #options: WorkloadOptions;
	readonly #notebook: Notebook;
	readonly #random: Random;
	/** What is being asked of Noonmark, for who catches an error. */
	action = 'open';
	/** The copies that can be deleted. */
	#epochs: number[] = [];
	#sequence = 2;
	#nowMs = 0;
	/** Whether the volume holds what the recording goes on from. */
	#isAligned = false;
	#owed: OwedLearner | undefined;
	volume!: FileDevice;
	diffArea!: DiffArea;
	live!: LiveVolume;

	constructor(directory: string, options: WorkloadOptions, notebook: Notebook) {
		this.#directory = directory;
		this.#options = options;
		this.#notebook = notebook;
		this.#random = new Random(options.seed);
		this.#open();
	}

	step(): void {
		const start = this.#notebook.position();
		try {
			this.#randomStep();
			this.live.drainIfDue();
			this.diffArea.reclaim();
			this.#owed?.step(this.#random);
		} catch (error) {
			this.#isAligned = false;
			throw error;
		} finally {
			this.#noteEvents(start);
		}
	}

	/** Time goes by. */
	delay(ms: number): void {
		this.#nowMs += ms;
	}

	/** As at an orderly unmount. */
	close(): void {
		const start = this.#notebook.position();
		try {
			this.#flush();
			this.action = 'close';
			durableVolumeStamp(this.volume.fd);
			this.#notebook.keepMark(this.diffArea);
			this.diffArea.close(this.#notebook.stamp());
		} finally {
			this.#noteEvents(start);
		}
		this.volume.close();
	}

	/** Goes on after whatever ended: nothing is closed in order. */
	reopen(): void {
		closeAll();
		this.#open();
	}

	#open(): void {
		const start = this.#notebook.position();
		this.action = 'open';
		this.volume = FileDevice.open(imageIn(this.#directory), 'write');
		this.diffArea = openDiffArea(this.#directory, this.#notebook.stamp(), this.#options, this.#notebook.mark);
		this.#notebook.keepMark(this.diffArea);
		this.live = new LiveVolume(this.volume, this.diffArea, () => this.#nowMs);
		this.#epochs = this.diffArea.copies.map(({ epoch }) => epoch);
		const { fileSystem } = this.#options;
		this.#owed = fileSystem && new OwedLearner(this.diffArea, this.volume, this.live, fileSystem.owed);
		this.#isAligned = false;
		this.#noteEvents(start);
	}

	#randomStep(): void {
		const step = this.#random.integer(100);
		this.#nowMs += this.#random.integer(20);
		if (step < 5) this.#create();
		else if (step < 9 && this.#epochs.length > 2) this.#delete(this.#random.pick(this.#epochs));
		else if (step < 10) this.#restart();
		else if (step < 11) this.#kill();
		else if (step < 12) this.#resize();
		else if (step < 17 && !this.#options.fileSystem) this.#zero();
		else if (step < 30) this.#flush();
		else this.#write();
	}

	#restart(): void {
		this.close();
		this.#open();
	}

	/** What was held in memory is gone; nothing is closed in order. */
	#kill(): void {
		this.#notebook.note({ kind: 'found', content: real.readFileSync(imageIn(this.#directory)) });
		this.reopen();
	}

	/** Up or down; then the oldest copies may go. */
	#resize(): void {
		this.action = 'resize';
		const { maximumBytes } = this.#options;
		this.diffArea.resize(this.#random.pick([null, maximumBytes, Math.floor(this.diffArea.usedBytes / 2)]));
	}

	#create(): void {
		this.#flush();
		this.action = 'create';
		this.#notebook.keepMark(this.diffArea);
		this.diffArea.prepareCommit();
		for (let i = this.#random.integer(3); i > 0; i--) this.#write();
		if (this.#options.fileSystem) this.#playToCopy(this.#options.fileSystem.player);
		this.live.drain();
		const copy = this.diffArea.commit(this.#label());
		const { epoch } = copy;
		this.#notebook.note({ kind: 'committed', epoch, used: this.#options.fileSystem?.player.bytesInUse() });
		this.#owed?.add([copy]);
		try {
			this.#finish(epoch, this.#random.integer(8) === 0);
		} catch (error) {
			this.#giveUp(epoch);
			throw error;
		}
	}

	#finish(epoch: number, giveUp: boolean): void {
		for (let i = this.#random.integer(4); i > 0; i--) this.#write();
		this.#flush();
		const isEvicted = !this.diffArea.copies.some((copy) => copy.epoch === epoch);
		if (giveUp || isEvicted) {
			this.#giveUp(epoch);
			return;
		}
		this.action = 'create';
		this.diffArea.finishCommit();
		this.#notebook.note({ kind: 'reported', epoch });
		this.#epochs.push(epoch);
	}

	#giveUp(epoch: number): void {
		this.#notebook.note({ kind: 'leaving', epoch });
		this.diffArea.abortCommit();
		if (!this.diffArea.copies.some((copy) => copy.epoch === epoch)) this.#notebook.note({ kind: 'left', epoch });
	}

	#delete(epoch: number): void {
		this.#notebook.note({ kind: 'leaving', epoch });
		this.action = 'delete';
		this.diffArea.delete(epoch);
		this.#notebook.note({ kind: 'left', epoch });
		this.#epochs = this.#epochs.filter((other) => other !== epoch);
	}

	#label(): CopyLabel {
		const player = this.#options.fileSystem?.player;
		return { frozenAt: player?.isFrozen ? player.position : null };
	}

	/** Some of what the kernel wrote. */
	#play(player: KernelPlayer, count: number): void {
		if (player.isAtEnd) {
			player.rewind();
			this.#isAligned = false;
		}
		if (!this.#isAligned) this.#align(player);
		this.#isAligned = true;
		for (let i = 0; i < count && !player.isAtEnd; i++) this.#carryOut(player.next());
	}

	/** Up to anywhere, or to where the file system stood still. */
	#playToCopy(player: KernelPlayer): void {
		this.#play(player, 1);
		const toFrozen = this.#random.integer(2) === 0;
		while (toFrozen && !player.isFrozen) this.#play(player, 1);
	}

	/** After a power cut, a kill or an error the volume holds something else; who repairs it writes. */
	#align(player: KernelPlayer): void {
		const content = Buffer.alloc(this.live.sizeBytes);
		this.live.read(0, content);
		for (const { at, bytes } of player.differences(content)) this.#carryOut({ kind: 'write', at, bytes });
	}

	#carryOut(write: DiskWrite): void {
		if (write.kind === 'flush') this.#flush();
		else if (write.kind === 'write') this.#writeBytes(write.at, write.bytes);
		else this.#zeroBytes(write.at, write.lengthBytes, write.free);
	}

	#write(): void {
		const player = this.#options.fileSystem?.player;
		if (player) {
			this.#play(player, 1 + this.#random.integer(PLAYED_MAX));
			return;
		}
		const [at, lengthBytes] = this.#range();
		this.#writeBytes(at, stamped(at, lengthBytes, this.#sequence++));
	}

	#writeBytes(at: number, bytes: Buffer): void {
		this.#notebook.note({ kind: 'write', at, bytes });
		this.action = 'write';
		this.live.write(at, bytes);
	}

	#zero(): void {
		const [at, lengthBytes] = this.#range();
		this.#zeroBytes(at, lengthBytes, this.#random.integer(2) === 0);
	}

	#zeroBytes(at: number, lengthBytes: number, free: boolean): void {
		this.#notebook.note({ kind: 'write', at, bytes: Buffer.alloc(lengthBytes) });
		this.action = 'write';
		this.live.zero(at, lengthBytes, free);
	}

	#flush(): void {
		this.action = 'flush';
		this.live.flush();
		this.#notebook.note({ kind: 'flushed' });
	}

	/** Whole sectors, as a block layer sends them; the last one of the volume may be short. */
	#range(): [at: number, lengthBytes: number] {
		const { sizeBytes } = this.#options;
		const at = SECTOR_BYTES * this.#random.integer(sizeBytes / SECTOR_BYTES);
		const sectors = 1 + this.#random.integer(this.#random.pick([1, 8, 136]));
		return [at, Math.min(sectors * SECTOR_BYTES, sizeBytes - at)];
	}

	/** An eviction may have begun anywhere since `start`. */
	#noteEvents(start: number): void {
		for (const event of this.diffArea.takeEvents()) {
			const gone = event.kind === 'copy-evicted' ? [event.copy] : event.kind === 'copies-lost' ? event.copies : [];
			for (const { epoch } of gone) {
				this.#notebook.noteAt(start, { kind: 'leaving', epoch });
				this.#epochs = this.#epochs.filter((other) => other !== epoch);
			}
			this.#notebook.event(event);
		}
	}
}
