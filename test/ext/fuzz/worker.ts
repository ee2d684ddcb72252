/**
 * `worker.js IMAGE SEED FIRST END`: reads the image with the damages FIRST to before END, each of which follows from SEED
 * and its number alone. Says on stdout, in lines of JSON, what it is about to do and what came of it, so that who reads
 * that knows which input it was, whatever happens.
 */
import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { messageOf } from '../../../src/errors.ts';
import { Random } from '../../helpers/random.ts';
import { damage } from './damage.ts';
import { readEverything } from './read-everything.ts';
import { makeTarget } from './target.ts';

/** A line of the worker. */
export type WorkerLine =
	| { readonly input: number; readonly what: string }
	| {
			readonly input: number;
			readonly cpuMs: number;
			/** The most memory that the process had at once, since the input before. */
			readonly peakBytes: number;
			/** Families and codes of the errors. */
			readonly codes: readonly string[];
			/** What was thrown, where that was no NoonmarkError. */
			readonly thrown: string | null;
	  };

const [image, seed, first, end] = process.argv.slice(2) as [string, string, string, string];
const say = (line: WorkerLine) => writeSync(1, `${JSON.stringify(line)}\n`);
const target = makeTarget(readFileSync(image));
const MIX = 0x9e3779b1;

for (let input = Number(first); input < Number(end); input++) {
	target.image.reset();
	const what = damage(target, new Random(Math.imul(input + 1, MIX) ^ Number(seed)));
	say({ input, what });
	// Linux: from here on the peak counts anew (proc_pid_clear_refs(5)).
	writeFileSync('/proc/self/clear_refs', '5');
	const start = process.cpuUsage();
	const { codes, thrown } = attempt();
	const { user, system } = process.cpuUsage(start);
	say({ input, cpuMs: (user + system) / 1000, peakBytes: peakBytes(), codes, thrown });
}

function attempt(): { codes: string[]; thrown: string | null } {
	try {
		return { codes: [...readEverything(target.image)], thrown: null };
	} catch (error) {
		return { codes: [], thrown: error instanceof Error ? (error.stack ?? error.message) : messageOf(error) };
	}
}

function peakBytes(): number {
	const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))!;
	return Number(kibibytes) * 1024;
}
