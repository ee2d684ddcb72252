import { execFile } from 'node:child_process';
import { ioError } from '../errors.ts';

/** For programs of the system: their messages in English, and found also where mount(8) has left us without a PATH. */
export const toolEnvironment = () => ({
	...process.env,
	LC_ALL: 'C',
	PATH: `${process.env.PATH ?? '/usr/local/bin'}:/usr/sbin:/usr/bin:/sbin:/bin`,
});

/**
 * Runs a program of the system to its end; resolves to what it printed. Asynchronous on purpose: the main thread must
 * not wait on what may wait for a mount that this process serves.
 * Errors: io `tool-missing`, `tool-failed` with what the program said; `tool-hangs` where it has not ended after
 * `timeoutMs`: it is killed then, and not waited for, since it may wait for a disk that does not answer.
 */
export function runTool(command: string, args: readonly string[], timeoutMs?: number): Promise<string> {
	return new Promise((resolve, reject) => {
		const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
		const options = { env: toolEnvironment(), killSignal: 'SIGKILL', ...(signal && { signal }) } as const;
		const child = execFile(command, args, options, (error, stdout, stderr) => {
			if (!error) return resolve(stdout);
			if (signal?.aborted) {
				child.unref();
				return reject(ioError('tool-hangs', `${command} ${args.join(' ')}: has not ended for ${timeoutMs! / 1000} s`));
			}
			if (error.code === 'ENOENT') {
				return reject(ioError('tool-missing', `${command}: not found; install util-linux`, error));
			}
			const said = stderr.trim().replaceAll('\n', ' ') || error.message;
			reject(ioError('tool-failed', `${command} ${args.join(' ')}: ${said}`, error));
		});
	});
}
