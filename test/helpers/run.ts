import { spawn } from 'node:child_process';

export interface RunResult {
	/** Null where it was killed. */
	readonly code: number | null;
	readonly stdout: Buffer;
	readonly stderr: string;
}

export interface RunOptions {
	readonly timeoutMs?: number;
	readonly input?: string | Buffer;
	readonly env?: NodeJS.ProcessEnv;
	readonly cwd?: string;
}

/** What hangs has an end; what is only slow, on a machine that has much else to do, must not. */
export const TIMEOUT_MS = 180_000;

/**
 * Runs a program to its end. Never from the process that serves a mount to that mount's readers: the child is what may
 * block on a dead mount, and it is killed after `timeoutMs`, and says so.
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
	const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
	const startMs = performance.now();
	return new Promise((resolve, reject) => {
		const child = spawn(command, args, {
			stdio: ['pipe', 'pipe', 'pipe'],
			timeout: timeoutMs,
			killSignal: 'SIGKILL',
			env: options.env ?? process.env,
			cwd: options.cwd,
		});
		const stdout: Buffer[] = [];
		const stderr: Buffer[] = [];
		child.stdout.on('data', (data: Buffer) => stdout.push(data));
		child.stderr.on('data', (data: Buffer) => stderr.push(data));
		child.stdin.on('error', () => {});
		child.stdin.end(options.input ?? '');
		child.on('error', reject);
		child.on('exit', (_, signal) => {
			// What a killed shell has begun may hang on, with these pipes open.
			if (signal === null) return;
			child.stdout.destroy();
			child.stderr.destroy();
		});
		child.on('close', (code, signal) => {
			if (signal !== null) {
				const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
				stderr.push(Buffer.from(`[${signal} after ${seconds} s, of ${timeoutMs / 1000} that it may take]\n`));
			}
			resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() });
		});
	});
}

/** Runs a program that must succeed; returns what it printed. */
export async function runOk(command: string, args: readonly string[], options: RunOptions = {}): Promise<Buffer> {
	const result = await run(command, args, options);
	if (result.code !== 0) {
		throw new Error(
			`${command} ${args.join(' ')}: exit ${result.code}\n${result.stderr}${result.stdout.toString().slice(0, 2000)}`,
		);
	}
	return result.stdout;
}

/** A shell script that must succeed (`set -eu`); arguments are $1, $2, … */
export const shell = (script: string, args: readonly string[] = [], options: RunOptions = {}) =>
	runOk('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args], options);
