import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { FileDevice } from '../../src/block/file-device.ts';
import type { CatalogCopy } from '../../src/diff/catalog.ts';
import { DiffArea } from '../../src/diff/diff-area.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import type { DiffAreaEvent, DiffAreaOptions, StoragePolicy } from '../../src/diff/diff-area-types.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { Random } from '../helpers/random.ts';
import { scratchDirectory } from '../torture/scratch.ts';

export interface RigOptions {
	readonly seed: number;
	readonly sizeBytes: number;
	/** Default: 16384. */
	readonly chunkSizeBytes?: number;
	/** Where the diff area is. Default: beside the image. */
	readonly storage?: string;
	/** Default: unbounded; undefined: what was kept. */
	readonly maximumBytes?: number | undefined;
	readonly policy?: StoragePolicy;
	readonly maximumCopies?: number;
	readonly lostBefore?: number;
	readonly onUnrecordedLoss?: DiffAreaOptions['onUnrecordedLoss'];
}

/** A volume with its copies, beside a model that keeps every state whole. */
export class Rig {
	readonly directory: string;
	readonly image: string;
	readonly sizeBytes: number;
	readonly random: Random;
	options: RigOptions;
	readonly live: Buffer;
	readonly copies = new Map<number, Buffer>();
	/** Those that cannot be read at present. */
	readonly unreadable = new Map<number, Buffer>();
	/** Chunks that a copy uses, where not all: only these need to be what they were. */
	readonly used = new Map<number, ReadonlySet<number>>();
	readonly events: DiffAreaEvent[] = [];
	volume!: FileDevice;
	diffArea!: DiffArea;
	liveVolume!: LiveVolume;
	#nowMs = 0;

	constructor(t: ExecutionContext, options: RigOptions) {
		this.directory = scratchDirectory();
		t.teardown(() => rmSync(this.directory, { recursive: true, force: true }));
		this.image = join(this.directory, 'disk.img');
		this.sizeBytes = options.sizeBytes;
		this.options = options;
		this.random = new Random(options.seed);
		this.live = Buffer.alloc(this.sizeBytes);
		this.live.set(this.random.bytes(Math.floor(this.sizeBytes / 2)), 0);
		writeFileSync(this.image, this.live);
		t.log(`seed ${options.seed}`);
		this.open();
	}

	open(): void {
		this.volume = FileDevice.open(this.image, 'write');
		this.diffArea = DiffArea.open({
			directory: this.options.storage ?? `${this.image}.noonmark`,
			volumeSizeBytes: this.sizeBytes,
			volumeStamp: 'today',
			maximumBytes: 'maximumBytes' in this.options ? this.options.maximumBytes : null,
			...(this.options.policy && { policy: this.options.policy }),
			...(this.options.maximumCopies && { maximumCopies: this.options.maximumCopies }),
			newVolumeId: '00112233445566778899aabbccddeeff',
			newChunkSizeBytes: this.options.chunkSizeBytes ?? 16384,
			...(this.options.lostBefore && { lostBefore: this.options.lostBefore }),
			...(this.options.onUnrecordedLoss && { onUnrecordedLoss: this.options.onUnrecordedLoss }),
		});
		this.liveVolume = new LiveVolume(this.volume, this.diffArea, () => this.#nowMs);
		this.noteEvents();
		this.onOpened();
	}

	/** As after kill -9: what was held in memory is gone, unless it was flushed; files are not closed in order. */
	crash(): void {
		this.liveVolume.flush();
		this.noteEvents();
		this.volume.close();
		this.open();
	}

	restart(): void {
		this.close();
		this.open();
	}

	close(): void {
		this.liveVolume.close();
		this.noteEvents();
		this.diffArea.close(null);
		this.volume.close();
	}

	write(byteOffset: number, bytes: Buffer): void {
		this.liveVolume.write(byteOffset, bytes);
		bytes.copy(this.live, byteOffset);
	}

	zero(byteOffset: number, lengthBytes: number): void {
		this.liveVolume.zero(byteOffset, lengthBytes, this.random.integer(2) === 0);
		this.live.fill(0, byteOffset, byteOffset + lengthBytes);
	}

	create(): void {
		this.liveVolume.drain();
		this.diffArea.prepareCommit();
		const { epoch } = this.diffArea.commit(`copy ${this.copies.size}`);
		this.volume.flush();
		this.diffArea.finishCommit();
		this.copies.set(epoch, Buffer.from(this.live));
		this.onCreated(epoch);
	}

	onCreated(_epoch: number): void {}

	onOpened(): void {}

	delete(epoch: number): void {
		this.diffArea.delete(epoch);
		this.copies.delete(epoch);
	}

	randomStep(): void {
		const byteOffset = this.random.integer(this.sizeBytes);
		const lengthBytes =
			1 + this.random.integer(Math.min(this.sizeBytes - byteOffset, this.random.pick([512, 4096, 70_000])));
		this.#nowMs += this.random.integer(20);
		const step = this.random.integer(100);
		if (step < 2) this.create();
		else if (step < 4 && this.copies.size > 3) this.delete(this.random.pick([...this.copies.keys()]));
		else if (step < 5) this.restart();
		else if (step < 6) this.crash();
		else if (step < 10) this.zero(byteOffset, lengthBytes);
		else if (step < 15) this.liveVolume.flush();
		else this.write(byteOffset, this.random.bytes(lengthBytes));
		this.liveVolume.drainIfDue();
		this.noteEvents();
	}

	/** Which states differ from the model: must be none. */
	differences(): string[] {
		const found: string[] = [];
		const bytes = Buffer.alloc(this.sizeBytes);
		this.liveVolume.read(0, bytes);
		if (!bytes.equals(this.live)) found.push('the live volume');
		const isList = (copies: readonly CatalogCopy[], epochs: Iterable<number>) =>
			copies.map(({ epoch }) => epoch).join() === [...epochs].sort((a, b) => a - b).join();
		const { copies, allCopies } = this.diffArea;
		if (!isList(copies, this.copies.keys())) found.push('the list of copies');
		if (!isList(allCopies, [...this.copies.keys(), ...this.unreadable.keys()])) found.push('the list of all copies');
		const reader = new DiffAreaReader(this.diffArea.share);
		const readOnly = FileDevice.open(this.image, 'read');
		for (const [epoch, expected] of this.copies) {
			const view = new ShadowView(readOnly, reader, epoch);
			for (let at = 0; at < this.sizeBytes; ) {
				const end = Math.min(this.sizeBytes, at + 1 + this.random.integer(100_000));
				view.read(at, bytes.subarray(at, end));
				at = end;
			}
			const used = this.used.get(epoch);
			const { chunkSizeBytes } = view;
			for (let at = 0; at < this.sizeBytes; at += chunkSizeBytes) {
				const chunk = at / chunkSizeBytes;
				const end = Math.min(this.sizeBytes, at + chunkSizeBytes);
				if (used && !used.has(chunk)) continue;
				if (!bytes.subarray(at, end).equals(expected.subarray(at, end))) found.push(`copy ${epoch}, chunk ${chunk}`);
			}
		}
		readOnly.close();
		reader.close();
		return found;
	}

	noteEvents(): void {
		for (const event of this.diffArea.takeEvents()) {
			this.events.push(event);
			const [from, to] =
				event.kind === 'copy-readable' ? [this.unreadable, this.copies] : [this.copies, this.unreadable];
			if (event.kind === 'copy-evicted') for (const copies of [from, to]) copies.delete(event.copy.epoch);
			if (event.kind === 'copies-lost') for (const { epoch } of event.copies) from.delete(epoch);
			if (event.kind !== 'copy-readable' && event.kind !== 'copy-unreadable') continue;
			const { epoch } = event.copy;
			to.set(epoch, from.get(epoch)!);
			from.delete(epoch);
		}
	}
}
