/** `make torture`: the proofs that take long. Prints what was run, and ends with 1 where anything failed. */
import { run, runOk } from '../helpers/run.ts';
import { checkDatabases } from './databases.ts';
import { tryFaults } from './faulty-device.ts';
import { cutPower } from './power-cut.ts';
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

const PHASES: Record<string, Phase> = {
	cuts({ seed, states }) {
		const failures: string[] = [];
		let tried = 0;
		for (let i = 0; tried < states; i++) {
			const result = cutPower({ seed: seed + i, states: Math.min(STATES_OF_ONE_WORKLOAD, states - tried) });
			tried += result.states;
			failures.push(...result.failures);
			console.log(`cuts: seed ${seed + i}, ${tried} states in all, ${failures.length} failures`);
			if (failures.length > 0) break;
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
		const actions: (() => void)[] = [];
		try {
			const { failures, ...counts } = await checkDatabases({ teardown: (action) => actions.unshift(action) }, seconds);
			console.log(`databases: ${seconds} s, ${JSON.stringify(counts)}, ${failures.length} failures`);
			return failures;
		} finally {
			for (const action of actions) action();
		}
	},
};

const [phases, seed, states, rounds, seconds] = process.argv.slice(2);
const setting: Setting = {
	seed: Number(seed),
	states: Number(states),
	rounds: Number(rounds),
	seconds: Number(seconds),
};
for (const name of phases!.split(',')) {
	const failures = await PHASES[name]!(setting);
	for (const failure of failures) console.error(`${name}: ${failure}`);
	if (failures.length > 0) process.exitCode = 1;
}
