/** `make torture`: the proofs that take long. Prints what was run, and ends with 1 where anything failed. */
import { run, runOk } from '../helpers/run.ts';
import type { TeardownContext } from '../helpers/temp.ts';
import { checkDatabases } from './databases.ts';
import { tryFaults } from './faulty-device.ts';
import { FILE_SYSTEMS, type KernelRecording, keepRecording, recordKernel } from './kernel-recording.ts';
import { cutPower, type PowerCutResult } from './power-cut.ts';
import { race } from './race.ts';

interface Setting {
	readonly seed: number;
	/** Power cuts. */
	readonly states: number;
	/** Kills of the service. Ten of them are one workload with faults at each of its calls, too. */
	readonly rounds: number;
	/** Of the race, and of the load on the databases. */
	readonly seconds: number;
}

type Phase = (setting: Setting) => readonly string[] | Promise<readonly string[]>;

const STATES_OF_ONE_WORKLOAD = 1000;
/** A volume with a file system is larger, so a tenth as many states of it are tried. */
const FILE_SYSTEM_SHARE = 10;
const STATES_OF_ONE_RECORDING = 250;
const CALLS_OF_ONE_RECORDING = 40;

const PHASES: Record<string, Phase> = {
	cuts({ seed, states }) {
		const result = cutsOf({ seed, states, each: STATES_OF_ONE_WORKLOAD });
		console.log(`cuts: seed ${seed} and on, ${result.states} states, ${result.failures.length} failures`);
		return result.failures;
	},
	async filesystems({ seed, states }) {
		const failures: string[] = [];
		const kinds = Object.entries(FILE_SYSTEMS);
		const statesOfOne = Math.ceil(states / FILE_SYSTEM_SHARE / kinds.length);
		for (const [name, options] of kinds) {
			const recording = await takenDown((t) => recordKernel(t, { seed, ...options }));
			const cuts = cutsOf({ seed, states: statesOfOne, each: STATES_OF_ONE_RECORDING, recording });
			const faults = tryFaults({ seed, calls: CALLS_OF_ONE_RECORDING, recording });
			const found = [...cuts.failures, ...faults.failures];
			failures.push(...found, ...(found.length > 0 ? [keepRecording(recording)] : []));
			const counts = `${recording.writes.length} writes of the kernel, ${cuts.states} states, ${faults.runs} faulty runs`;
			console.log(`filesystems: ${name}, seed ${seed}, ${counts}, ${found.length} failures`);
		}
		return failures;
	},
	faults({ seed, rounds }) {
		const failures: string[] = [];
		for (let i = 0; i < Math.ceil(rounds / 10) && failures.length === 0; i++) {
			const result = tryFaults({ seed: seed + i, calls: Number.POSITIVE_INFINITY });
			failures.push(...result.failures);
			console.log(`faults: seed ${seed + i}, every call, ${result.runs} runs, ${failures.length} failures`);
		}
		return failures;
	},
	async race({ seed, seconds }) {
		const { faults, ...counts } = await race(seed, seconds);
		console.log(`race: seed ${seed}, ${seconds} s, ${JSON.stringify(counts)}, ${faults.length} failures`);
		return faults;
	},
	async kills({ seed, rounds }) {
		const timeoutMs = rounds * 60_000;
		const args = ['ava', `--timeout=${timeoutMs}ms`, 'build/test/acceptance/killed-service.test.js'];
		const env = { ...process.env, SEED: String(seed), ROUNDS: String(rounds) };
		const { code, stdout } = await run('npx', args, { timeoutMs, env });
		console.log(`kills: seed ${seed}, ${rounds} rounds\n${stdout}`);
		return code === 0 ? [] : [`exit ${code}`];
	},
	async databases({ seconds }) {
		await runOk('images/install-tools.sh', ['databases'], { timeoutMs: 600_000 });
		const { failures, ...counts } = await takenDown((t) => checkDatabases(t, seconds));
		console.log(`databases: ${seconds} s, ${JSON.stringify(counts)}, ${failures.length} failures`);
		return failures;
	},
};

/** One workload after the other, until one shows a failure. */
function cutsOf(options: { seed: number; states: number; each: number; recording?: KernelRecording }): PowerCutResult {
	const { seed, states, each, ...more } = options;
	const failures: string[] = [];
	let tried = 0;
	for (let i = 0; tried < states && failures.length === 0; i++) {
		const result = cutPower({ seed: seed + i, states: Math.min(each, states - tried), ...more });
		tried += result.states;
		failures.push(...result.failures);
	}
	return { states: tried, failures };
}

/** What the action has taken down at the end is taken down after it, whatever happens. */
async function takenDown<T>(action: (t: TeardownContext) => Promise<T>): Promise<T> {
	const actions: (() => void)[] = [];
	try {
		return await action({ teardown: (undo) => actions.unshift(undo) });
	} finally {
		for (const undo of actions) undo();
	}
}

/** Says what failed; a phase that breaks off has failed, and the others are run all the same. */
async function failuresOf(phase: string, setting: Setting): Promise<readonly string[]> {
	try {
		return await PHASES[phase]!(setting);
	} catch (error) {
		return [error instanceof Error ? (error.stack ?? error.message) : String(error)];
	}
}

const [phases, seed, states, rounds, seconds] = process.argv.slice(2);
const setting: Setting = {
	seed: Number(seed),
	states: Number(states),
	rounds: Number(rounds),
	seconds: Number(seconds),
};
const names = phases!.split(',');
const unknown = names.filter((name) => !(name in PHASES));
if (unknown.length > 0) throw new Error(`no such phase: ${unknown}; there are ${Object.keys(PHASES)}`);
const failed: string[] = [];
for (const name of names) {
	const start = performance.now();
	const failures = await failuresOf(name, setting);
	for (const failure of failures) console.error(`${name}: ${failure}`);
	console.log(
		`${name}: ${failures.length > 0 ? 'FAILED' : 'passed'} in ${Math.round((performance.now() - start) / 1000)} s`,
	);
	if (failures.length > 0) failed.push(name);
}
console.log(failed.length > 0 ? `torture: FAILED: ${failed}` : `torture: passed: ${names}`);
process.exitCode = failed.length > 0 ? 1 : 0;
