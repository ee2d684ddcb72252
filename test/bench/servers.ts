import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { run } from '../helpers/run.ts';
import { eventually } from '../helpers/volume.ts';

/** A program that runs beside the bench. */
export interface Server {
	readonly pid: number;
	/** Ends it; what it has mounted is to be unmounted before. */
	stop(): Promise<void>;
}

/**
 * Starts a program; resolves once it is ready. Where it ends before, or is not ready in time, it is stopped. What it
 * prints goes to the open file `outputFd`, where one is given.
 */
export async function startServer(
	command: string,
	args: readonly string[],
	isReady: () => boolean,
	outputFd?: number,
): Promise<Server> {
	const child = spawn(command, args, { stdio: ['ignore', outputFd ?? 'ignore', 'inherit'] });
	const ended = () => child.exitCode !== null || child.signalCode !== null;
	const stop = async () => {
		if (!ended()) child.kill('SIGTERM');
		await eventually(`${command} ends`, ended).catch(() => child.kill('SIGKILL'));
	};
	try {
		await eventually(
			`${command} is ready`,
			() => {
				if (ended()) throw new Error(`${command} ended with ${child.exitCode}`);
				return isReady();
			},
			20_000,
		);
	} catch (error) {
		await stop();
		throw error;
	}
	return { pid: child.pid!, stop };
}

export const isMounted = (mountPoint: string): boolean =>
	readFileSync('/proc/self/mounts', 'utf8').includes(` ${mountPoint} `);

/** Unmounts, if something is mounted there. */
export async function unmount(mountPoint: string): Promise<void> {
	if (!isMounted(mountPoint)) return;
	if ((await run('umount', [mountPoint])).code !== 0) await run('umount', ['--lazy', mountPoint]);
}
