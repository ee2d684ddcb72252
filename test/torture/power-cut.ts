/**
 * Enumerated power cuts: a workload is recorded, and the states that a power cut could have left anywhere in it are
 * built, opened and compared with the model. A state is named by (seed, cut, variant), which builds it again.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { FileDevice } from '../../src/block/file-device.ts';
import type { DiffArea } from '../../src/diff/diff-area.ts';
import { LiveVolume } from '../../src/diff/live-volume.ts';
import { messageOf } from '../../src/errors.ts';
import { Random } from '../helpers/random.ts';
import { contentFaults, presenceFaults } from './checks.ts';
import type { FileCall } from './file-calls.ts';
import { filesBelow, Recorder } from './recorder.ts';
import { scratchDirectory } from './scratch.ts';
import { SimulatedDisk, type StateAfterCut } from './simulated-disk.ts';
import { VolumeModel } from './volume-model.ts';
import { firstContent, imageIn, openDiffArea, stamped, Workload, type WorkloadOptions } from './workload.ts';

const STEPS = 150;

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
}

/** Records one workload and tries states evenly spread over it. */
export function cutPower(options: PowerCutOptions): PowerCutResult {
	const scratch = scratchDirectory();
	try {
		const { seed } = options;
		const sizeBytes = 600_000 + 512 * (seed % 64) + (seed % 3);
		const workload = { seed, sizeBytes, maximumBytes: seed % 2 === 0 ? null : 900_000 };
		const recorder = record(`${scratch}/work`, workload, options.ignore);
		return tryStates(recorder, `${scratch}/state`, workload, options);
	} finally {
		rmSync(scratch, { recursive: true, force: true });
	}
}

function record(directory: string, options: WorkloadOptions, ignore?: (call: FileCall) => boolean): Recorder {
	mkdirSync(directory);
	writeFileSync(imageIn(directory), firstContent(options.sizeBytes));
	const recorder = new Recorder(directory, ignore);
	try {
		const workload = new Workload(directory, options, {
			note: (note) => recorder.note(note),
			noteAt: (position, note) => recorder.noteAt(position, note),
			position: () => recorder.events.length,
			stamp: () => `modified ${recorder.modifications(imageIn(directory))}`,
			event: (event) => {
				if (event.kind !== 'copy-evicted') throw new Error(`unexpected: ${JSON.stringify(event)}`);
			},
		});
		for (let i = 0; i < STEPS; i++) workload.step();
		workload.close();
	} finally {
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
	directory: string,
	workload: WorkloadOptions,
	options: PowerCutOptions,
): PowerCutResult {
	const { seed, states, failuresMax = 10 } = options;
	const disk = new SimulatedDisk(recorder);
	const model = new VolumeModel(firstContent(workload.sizeBytes));
	const failures: string[] = [];
	let tried = 0;
	recorder.events.forEach((event, cut) => {
		if (event.kind === 'note') model.apply(event.note);
		else disk.apply(event);
		for (; tried < Math.floor(((cut + 1) * states) / recorder.events.length); tried++) {
			if (failures.length >= failuresMax) return;
			const state = disk.cut(tried, new Random(seed * 1_000_003 + tried));
			const found = faultsOf(state, recorder.directory, directory, model, workload);
			if (found.length > 0)
				failures.push(`seed ${seed}, state ${tried} of ${states}, after event ${cut}: ${found.join('; ')}`);
		}
	});
	return { states: tried, failures };
}

/** What is wrong with a state. Afterwards the volume goes on being used: what was right must stay right. */
function faultsOf(
	state: StateAfterCut,
	from: string,
	directory: string,
	model: VolumeModel,
	options: WorkloadOptions,
): string[] {
	build(state, from, directory);
	const image = state.files.get(imageIn(from))!;
	const wrongAt = model.wrongByteOffset(image.content);
	const found = wrongAt === undefined ? [] : [`the live volume at byte ${wrongAt}`];
	const volume = FileDevice.open(imageIn(directory), 'write');
	try {
		const diffArea = openDiffArea(directory, `modified ${image.modifications}`, options);
		found.push(...presenceFaults(diffArea, model));
		const expected = new Map([...model.copies].map(([epoch, { content }]) => [epoch, content]));
		found.push(...contentFaults(diffArea, volume, expected));
		goOn(diffArea, volume, expected, image.content);
		found.push(...contentFaults(diffArea, volume, expected).map((fault) => `${fault}, later`));
		diffArea.close(null);
	} catch (error) {
		found.push(`opening: ${messageOf(error)}`);
	} finally {
		volume.close();
	}
	return found;
}

function build(state: StateAfterCut, from: string, directory: string): void {
	rmSync(directory, { recursive: true, force: true });
	mkdirSync(directory);
	for (const path of state.directories) mkdirSync(`${directory}/${relative(from, path)}`);
	for (const [path, { content }] of state.files) writeFileSync(`${directory}/${relative(from, path)}`, content);
}

/** Overwrites here and there, before and after a new copy. */
function goOn(diffArea: DiffArea, volume: FileDevice, expected: Map<number, Buffer>, content: Buffer): void {
	const live = new LiveVolume(volume, diffArea, () => 0);
	const now = Buffer.from(content);
	const overwrite = (at: number, sequence: number) => {
		const bytes = stamped(at, 20_000, sequence);
		live.write(at, bytes);
		bytes.copy(now, at);
	};
	for (let at = 0; at + 20_000 < now.length; at += 90_000) overwrite(at, -1);
	live.flush();
	diffArea.prepareCommit();
	const { epoch } = diffArea.commit('after the power cut');
	expected.set(epoch, Buffer.from(now));
	diffArea.finishCommit();
	for (let at = 40_000; at + 20_000 < now.length; at += 90_000) overwrite(at, -2);
	live.flush();
}
