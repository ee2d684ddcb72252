import { ask } from '../src/control/client.ts';
import type { ControlRequest } from '../src/control/messages.ts';
import { NoonmarkError } from '../src/errors.ts';
import { findVolume, runningVolumes } from '../src/service/runtime-directory.ts';

/** Asks the volume that is meant, or every mounted one where none is named: one that ends meanwhile is left out. */
export async function askVolumes<Answer>(target: string | undefined, request: ControlRequest): Promise<Answer[]> {
	if (target !== undefined) return [await ask<Answer>((await findVolume(target)).socketPath, request)];
	const volumes = await runningVolumes();
	const answers = await Promise.all(
		volumes.map(({ socketPath }) =>
			ask<Answer>(socketPath, request).catch((error) => {
				if (error instanceof NoonmarkError && error.code === 'service-gone') return undefined;
				throw error;
			}),
		),
	);
	return answers.filter((answer) => answer !== undefined);
}
