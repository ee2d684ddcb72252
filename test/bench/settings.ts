import { join } from 'node:path';

/** What the environment asks of a bench. */
export interface Settings {
	/** Small sizes, two repetitions: shows that everything works, not how fast it is. */
	readonly quick: boolean;
	readonly repetitions: number;
	/** Which works are measured, by `state: name`. */
	readonly only: RegExp;
	/** Where the JSON, the table and the chart go. */
	readonly output: string;
}

export function settingsOf(environment: NodeJS.ProcessEnv): Settings {
	const quick = !['', '0'].includes(environment.QUICK ?? '');
	return {
		quick,
		repetitions: Number(environment.REPETITIONS || (quick ? 2 : 5)),
		only: new RegExp(environment.ONLY ?? ''),
		output: environment.OUTPUT || join('build', 'bench'),
	};
}
