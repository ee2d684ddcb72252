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
 * Errors: io `tool-missing`, `tool-failed` with what the program said.
 */
export function runTool(command: string, args: readonly string[]): Promise<string> {
	return new Promise((resolve, reject) => {
		execFile(command, args, { env: toolEnvironment() }, (error, stdout, stderr) => {
			if (!error) return resolve(stdout);
			if (error.code === 'ENOENT') {
				return reject(ioError('tool-missing', `${command}: not found; install util-linux`, error));
			}
			const said = stderr.trim().replaceAll('\n', ' ') || error.message;
			reject(ioError('tool-failed', `${command} ${args.join(' ')}: ${said}`, error));
		});
	});
}
