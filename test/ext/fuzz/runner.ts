import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { WorkerLine } from './worker.ts';

const WORKER = join(import.meta.dirname, 'worker.js');
/** Of processor time, which does not depend on what else the machine does. */
const MAX_CPU_MS = 2000;
const MAX_BYTES = 256 << 20;
/** A worker that says nothing for so long is caught in one input. */
const MAX_SILENCE_MS = 60_000;

export interface FuzzResult {
	readonly inputs: number;
	/** Inputs that did not end in answers or typed errors, soon and in little memory: what was damaged, what happened. */
	readonly faults: readonly string[];
	readonly maxCpuMs: number;
	readonly maxPeakBytes: number;
	/** How many inputs ended with which errors. */
	readonly codes: ReadonlyMap<string, number>;
}

/**
 * Reads an image damaged in many ways, in processes of their own: one that crashes or hangs is replaced. Ends after
 * `inputs` of them, or after `milliseconds`.
 */
export async function fuzzImage(
	image: string,
	{ seed, inputs, milliseconds }: { seed: number; inputs: number; milliseconds: number },
): Promise<FuzzResult> {
	const tally = new Tally();
	const endMs = performance.now() + milliseconds;
	while (tally.next < inputs && performance.now() < endMs) {
		await runWorker([image, seed, tally.next, inputs].map(String), tally, endMs);
	}
	return tally;
}

class Tally implements FuzzResult {
	inputs = 0;
	readonly faults: string[] = [];
	maxCpuMs = 0;
	maxPeakBytes = 0;
	readonly codes = new Map<string, number>();
	/** The input to go on with. */
	next = 0;
	#begun: { input: number; what: string } | undefined;

	take(line: WorkerLine): void {
		if ('what' in line) {
			this.#begun = line;
			this.next = line.input + 1;
			return;
		}
		this.inputs++;
		this.maxCpuMs = Math.max(this.maxCpuMs, line.cpuMs);
		this.maxPeakBytes = Math.max(this.maxPeakBytes, line.peakBytes);
		for (const code of line.codes) this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
		if (line.thrown !== null) this.fail(line.thrown);
		if (line.cpuMs > MAX_CPU_MS) this.fail(`took ${Math.round(line.cpuMs)} ms of processor time`);
		if (line.peakBytes > MAX_BYTES) this.fail(`took ${line.peakBytes >> 20} MiB`);
		this.#begun = undefined;
	}

	/** The worker is gone: was it in the middle of an input? */
	end(how: string): void {
		if (this.#begun) this.fail(how);
		this.#begun = undefined;
	}

	fail(why: string): void {
		this.faults.push(`input ${this.#begun?.input}: ${this.#begun?.what}: ${why}`);
	}
}

function runWorker(args: readonly string[], tally: Tally, endMs: number): Promise<void> {
	return new Promise((resolve, reject) => {
		const flags = ['--max-old-space-size=160', '--max-semi-space-size=8', '--enable-source-maps'];
		const child = spawn(process.execPath, [...flags, WORKER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
		const kill = () => child.kill('SIGKILL');
		const silence = setTimeout(kill, MAX_SILENCE_MS);
		let isStopped = false;
		createInterface({ input: child.stdout }).on('line', (text) => {
			silence.refresh();
			if (isStopped) return;
			const line = JSON.parse(text) as WorkerLine;
			tally.take(line);
			if ('what' in line || performance.now() < endMs) return;
			isStopped = true;
			kill();
		});
		child.on('error', reject);
		child.on('close', (code, signal) => {
			clearTimeout(silence);
			if (isStopped || code === 0) return resolve();
			tally.end(
				signal === 'SIGKILL' ? `did not end in ${MAX_SILENCE_MS} ms, or ran out of memory` : `exit ${code ?? signal}`,
			);
			// A worker that ends before its first input will not do better the next time.
			if (tally.inputs === 0 && tally.faults.length === 0)
				return reject(new Error(`the fuzz worker ended: ${code ?? signal}`));
			resolve();
		});
	});
}
