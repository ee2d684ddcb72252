/**
 * Enumerated power cuts: a workload is recorded, and the states that a power cut could have left anywhere in it are
 * built, opened and compared with the model. One of them is where the next workload begins. The seed and the number of
 * states build each of them again.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { FileDevice } from '../../src/block/file-device.ts';
import type { DiffArea } from '../../src/diff/diff-area.ts';
import { DiffAreaReader } from '../../src/diff/diff-area-reader.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { ShadowView } from '../../src/diff/shadow-view.ts';
import { messageOf } from '../../src/errors.ts';
import { Random } from '../helpers/random.ts';
import { contentFaults, neededFaults, presenceFaults } from './checks.ts';
import { fileSystemFaults } from './ext4-oracle.ts';
import { closeAll, type FileCall } from './file-calls.ts';
import { KernelPlayer } from './kernel-player.ts';
import type { KernelRecording } from './kernel-recording.ts';
import { type CopyLabel, findOwed, type OwedFinder, OwedLearner } from './owed-learner.ts';
import { filesBelow, Recorder } from './recorder.ts';
import { scratchDirectory } from './scratch.ts';
import { SimulatedDisk, type StateAfterCut } from './simulated-disk.ts';
import { type ExpectedCopy, VolumeModel } from './volume-model.ts';
import {
	chunkSizeFrom,
	firstContent,
	imageIn,
	openDiffArea,
	stamped,
	Workload,
	type WorkloadOptions,
} from './workload.ts';

const STEPS = 60;
const GENERATIONS = 3;
const FAILURES_MAX = 10;
/** Of so many states, one copy in one of them. */
const LOOKED_INTO_EACH = 10;

export interface PowerCutResult {
	readonly states: number;
	readonly failures: readonly string[];
}

export interface PowerCutOptions {
	readonly seed: number;
	readonly states: number;
	/** Stops after so many failures. */
	readonly failuresMax?: number;
	/** A planted bug: calls that the program seems to make, but which never reach the disk. */
	readonly ignore?: (call: FileCall) => boolean;
	/** What the kernel wrote, in place of random overwrites and discards. */
	readonly recording?: KernelRecording;
	/** A planted bug in what is owed to a copy. */
	readonly owed?: OwedFinder;
}

/** What a workload begins with. */
interface Start {
	readonly directory: string;
	readonly modifications: ReadonlyMap<string, number>;
	readonly model: VolumeModel;
}

interface Case extends PowerCutOptions {
	readonly workload: WorkloadOptions;
	/** 0, 1, …: after so many power cuts. */
	readonly generation: number;
}

/** Records workloads, each going on from a state that the one before was cut off in; tries states all over them. */
export function cutPower(options: PowerCutOptions): PowerCutResult {
	const scratch = scratchDirectory();
	const { seed, failuresMax = FAILURES_MAX } = options;
	const { recording, owed = findOwed } = options;
	const fileSystem = recording && { player: new KernelPlayer(recording), owed };
	const sizeBytes = recording?.first.length ?? 600_000 + 512 * (seed % 64) + (seed % 3);
	const failures: string[] = [];
	let tried = 0;
	try {
		let start = firstStart(`${scratch}/0`, recording?.first ?? firstContent(sizeBytes));
		for (let generation = 0; generation < GENERATIONS && failures.length < failuresMax; generation++) {
			const workload: WorkloadOptions = {
				seed: seed * GENERATIONS + generation,
				sizeBytes,
				chunkSizeBytes: chunkSizeFrom(seed),
				maximumBytes: seed % 2 === 0 ? null : Math.floor(1.5 * sizeBytes),
				policy: 'protect-volume',
				fileSystem,
			};
			const states = Math.floor(((generation + 1) * options.states) / GENERATIONS) - tried;
			const recorder = record(start, workload, options.ignore);
			const result = tryStates(recorder, start.model, scratch, {
				...options,
				states,
				failuresMax,
				workload,
				generation,
			});
			tried += result.states;
			failures.push(...result.failures);
			start = result.next;
		}
		return { states: tried, failures };
	} finally {
		rmSync(scratch, { recursive: true, force: true });
	}
}

function firstStart(directory: string, content: Buffer): Start {
	mkdirSync(directory);
	writeFileSync(imageIn(directory), content);
	return { directory, modifications: new Map(), model: new VolumeModel(content) };
}

function record(start: Start, options: WorkloadOptions, ignore: (call: FileCall) => boolean = () => false): Recorder {
	const { directory, model } = start;
	const recorder = new Recorder(directory, start.modifications, ignore);
	try {
		const workload = new Workload(directory, options, {
			note: (note) => recorder.note(note),
			noteAt: (position, note) => recorder.noteAt(position, note),
			position: () => recorder.events.length,
			stamp: () => `modified ${recorder.modifications(imageIn(directory))}`,
			mark: {},
			keepMark: () => {},
			event: (event) => {
				const lost = event.kind === 'copies-lost' ? event.copies : [];
				if (
					event.kind !== 'copy-evicted' &&
					!lost.every(({ epoch }) => model.copies.has(epoch) && !model.isOwed(epoch))
				)
					throw new Error(`unexpected: ${JSON.stringify(event)}`);
			},
		});
		for (let i = 0; i < STEPS; i++) workload.step();
		workload.close();
	} finally {
		closeAll();
		recorder.stop();
	}
	checkRecord(recorder);
	return recorder;
}

/** A call that was not recorded would make every state wrong: the whole record must lead to what is really there. */
function checkRecord(recorder: Recorder): void {
	const disk = new SimulatedDisk(recorder);
	for (const event of recorder.events) disk.apply(event);
	const { files } = disk.uncut();
	const found = filesBelow(recorder.directory);
	const differs = found.some((path) => !files.get(path)?.content.equals(readFileSync(path)));
	if (differs || files.size !== found.length) throw new Error('the record misses calls');
}

function tryStates(
	recorder: Recorder,
	before: VolumeModel,
	scratch: string,
	options: Case,
): PowerCutResult & { next: Start } {
	const { seed, states, generation, failuresMax = FAILURES_MAX } = options;
	const disk = new SimulatedDisk(recorder);
	const model = new VolumeModel(before.live, before.copies);
	const failures: string[] = [];
	const random = new Random(seed);
	const chosen = Math.floor(states / 4) + random.integer(states / 2);
	let next: Start | undefined;
	let tried = 0;
	recorder.events.forEach((event, cut) => {
		if (event.kind === 'note') model.apply(event.note);
		else disk.apply(event);
		for (; tried < Math.floor(((cut + 1) * states) / recorder.events.length); tried++) {
			if (failures.length >= failuresMax) return;
			const state = disk.cut(tried, new Random(seed * 1_000_003 + tried));
			if (tried === chosen) next = startFrom(state, recorder.directory, `${scratch}/${generation + 1}`, model);
			const found = faultsOf(state, recorder.directory, `${scratch}/state`, model, options.workload, tried);
			const where = `seed ${seed}, generation ${generation}, state ${tried} of ${states}, after event ${cut}`;
			if (found.length > 0) failures.push(`${where}: ${found.join('; ')}`);
		}
	});
	return { states: tried, failures, next: next! };
}

/** What the next workload finds after the power cut. */
function startFrom(state: StateAfterCut, from: string, directory: string, model: VolumeModel): Start {
	build(state, from, directory);
	const modifications = [...state.files].map(
		([path, file]) => [join(directory, relative(from, path)), file.modifications] as const,
	);
	const { content } = state.files.get(imageIn(from))!;
	return { directory, modifications: new Map(modifications), model: new VolumeModel(content, model.copies) };
}

/** What is wrong with a state. Afterwards the volume goes on being used: what was right must stay right. */
function faultsOf(
	state: StateAfterCut,
	from: string,
	directory: string,
	model: VolumeModel,
	options: WorkloadOptions,
	number: number,
): string[] {
	build(state, from, directory);
	const image = state.files.get(imageIn(from))!;
	const wrongAt = model.wrongByteOffset(image.content);
	const found = wrongAt === undefined ? [] : [`the live volume at byte ${wrongAt}`];
	const volume = FileDevice.open(imageIn(directory), 'write');
	try {
		const diffArea = openDiffArea(directory, `modified ${image.modifications}`, options);
		const live = new LiveVolume(volume, diffArea, () => 0);
		found.push(...presenceFaults(diffArea, model));
		const expected = new Map<number, ExpectedCopy>(model.copies);
		found.push(...contentFaults(diffArea, volume, expected));
		if (options.fileSystem) {
			if (number % LOOKED_INTO_EACH === 0)
				found.push(...fileSystemFaultsIn(diffArea, volume, options.fileSystem.player, number));
			new OwedLearner(diffArea, volume, live, options.fileSystem.owed).finish();
			found.push(...neededFaults(diffArea, volume, expected));
		}
		goOn(diffArea, live, expected, image.content);
		found.push(...contentFaults(diffArea, volume, expected).map((fault) => `${fault}, later`));
		diffArea.close(null);
	} catch (error) {
		found.push(`opening: ${messageOf(error)}`);
	} finally {
		volume.close();
	}
	return found;
}

/** One of the copies as a file system. */
function fileSystemFaultsIn(
	diffArea: DiffArea,
	volume: FileDevice,
	{ recording }: KernelPlayer,
	number: number,
): string[] {
	const copy = diffArea.copies[Math.floor(number / LOOKED_INTO_EACH) % diffArea.copies.length];
	if (!copy) return [];
	const reader = new DiffAreaReader(diffArea.share);
	try {
		const { frozenAt } = copy.label as CopyLabel;
		const tree = frozenAt === null ? undefined : recording.frozen.get(frozenAt)!;
		const faults = fileSystemFaults(new ShadowView(volume, reader, copy.epoch), tree);
		return faults.map((fault) => `copy ${copy.epoch}: ${fault}`);
	} finally {
		reader.close();
	}
}

function build(state: StateAfterCut, from: string, directory: string): void {
	rmSync(directory, { recursive: true, force: true });
	mkdirSync(directory);
	for (const path of state.directories) mkdirSync(`${directory}/${relative(from, path)}`);
	for (const [path, { content }] of state.files) writeFileSync(`${directory}/${relative(from, path)}`, content);
}

/** Overwrites and discards here and there, before and after a new copy. */
function goOn(diffArea: DiffArea, live: LiveVolume, expected: Map<number, ExpectedCopy>, content: Buffer): void {
	const now = Buffer.from(content);
	const overwrite = (at: number, sequence: number) => {
		const isDiscarded = at % 4 === 0;
		const bytes = isDiscarded ? Buffer.alloc(20_000) : stamped(at, 20_000, sequence);
		if (isDiscarded) live.zero(at, bytes.length, true);
		else live.write(at, bytes);
		bytes.copy(now, at);
	};
	for (let at = 0; at + 20_000 < now.length; at += 90_003) overwrite(at, -1);
	live.flush();
	diffArea.prepareCommit();
	const { epoch } = diffArea.commit({ frozenAt: null });
	expected.set(epoch, { content: Buffer.from(now) });
	diffArea.finishCommit();
	for (let at = 40_000; at + 20_000 < now.length; at += 90_003) overwrite(at, -2);
	live.flush();
}
