import { ask } from '../src/control/client.ts';
import type { ControlRequest } from '../src/control/messages.ts';
import { NoonmarkError } from '../src/errors.ts';
import { doesNotAnswer, findVolume, runningVolumes } from '../src/service/find-volume.ts';
import { isAlive, registeredVolumes } from '../src/service/runtime-directory.ts';
import { exitCodeOf, type PrintedError, warn } from './output.ts';

export interface Answers<Answer> {
	readonly answers: readonly Answer[];
	/** The first volume that could not be asked; nothing where all were. */
	readonly failure: PrintedError | Record<string, never>;
}

/**
 * Asks the volume that is meant, or every mounted one where none is named: one that ends meanwhile is left out, and one
 * whose service was killed or hangs is told on stderr and by the exit code, beside what the others say.
 */
export async function askVolumes<Answer>(
	target: string | undefined,
	request: ControlRequest,
): Promise<Answers<Answer>> {
	if (target !== undefined) {
		return { answers: [await ask<Answer>((await findVolume(target)).socketPath, request)], failure: {} };
	}
	const failures: unknown[] = registeredVolumes()
		.filter((registered) => !isAlive(registered))
		.map(doesNotAnswer);
	const answers: Answer[] = [];
	for (const outcome of await Promise.allSettled(
		(await runningVolumes()).map(({ socketPath }) => ask<Answer>(socketPath, request)),
	)) {
		if (outcome.status === 'fulfilled') answers.push(outcome.value);
		else if (!isGone(outcome.reason)) failures.push(outcome.reason);
	}
	const [failure] = failures.map(warn);
	if (failure) process.exitCode = exitCodeOf(failures[0]);
	return { answers, failure: failure ?? {} };
}

const isGone = (error: unknown) => error instanceof NoonmarkError && error.code === 'service-gone';
