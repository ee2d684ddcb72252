import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type FuseMount, type MountOptions, mountFuse, unmount } from '../../src/fuse/mount.ts';
import { createTurnsShare } from '../../src/fuse/turns.ts';
import { eventfd } from '../../src/system/libc.ts';

interface TeardownContext {
	teardown(action: () => void | Promise<void>): void;
}

export interface ServedMount extends FuseMount {
	/** What the sessions logged; at the end `session ended: unmounted`, once a thread. */
	readonly messages: string[];
	/** Unmounts and waits for the sessions to end. */
	stop(): Promise<void>;
}

/**
 * Mounts and serves a file system in worker threads, until the test ends. The test must read it through a child process
 * only, and without waiting for it synchronously.
 */
export function serveMount(
	t: TeardownContext,
	options: MountOptions & {
		handlerModule: string;
		handlerData: unknown;
		threads?: number;
		wakeFds?: readonly number[];
	},
): ServedMount {
	const mount = mountFuse(options);
	const messages: string[] = [];
	const ended: Promise<unknown>[] = [];
	const turns = createTurnsShare();
	const callFd = eventfd();
	for (let i = 0; i < (options.threads ?? 1); i++) {
		const worker = new Worker(new URL('./fuse-worker.js', import.meta.url), {
			workerData: {
				fd: mount.fd,
				wakeFds: [...(options.wakeFds ?? []), callFd],
				turns: { share: turns, sessionNumber: i + 1 },
				callFd,
				handlerModule: options.handlerModule,
				handlerData: options.handlerData,
			},
		});
		worker.on('message', (message) => messages.push(message));
		worker.on('error', (error) => messages.push(`worker died: ${error}`));
		ended.push(new Promise((resolve) => worker.on('exit', resolve)));
	}
	let stopped = false;
	const stop = async () => {
		if (stopped) return;
		stopped = true;
		unmount(mount, { detach: true });
		await Promise.all(ended);
		closeSync(mount.fd);
		closeSync(callFd);
	};
	t.teardown(stop);
	return { ...mount, messages, stop };
}

/** As serveMount, through fuse-native, in a process of its own; its mount ends when the test does. */
export async function serveFuseNative(
	t: TeardownContext,
	options: Pick<MountOptions, 'mountPoint' | 'source'> & { handlerModule: string; handlerData: unknown },
): Promise<{ mountPoint: string; stop(): Promise<void> }> {
	const { handlerModule, handlerData, ...mountOptions } = options;
	const setup = JSON.stringify({ handlerModule, handlerData, options: mountOptions });
	const server = spawn(process.execPath, [join(import.meta.dirname, 'fuse-native-server.js'), setup], {
		stdio: ['ignore', 'pipe', 'inherit'],
		timeout: 240_000,
		killSignal: 'SIGKILL',
	});
	const exited = once(server, 'exit');
	let stopped = false;
	const stop = async () => {
		if (stopped) return;
		stopped = true;
		unmount(options, { detach: true });
		await Promise.race([exited, delay(10_000, undefined, { ref: false })]);
		server.kill('SIGKILL');
		await exited;
	};
	t.teardown(stop);
	const started = await Promise.race([once(server.stdout, 'data'), exited.then(() => undefined)]);
	if (String(started) !== 'mounted\n') throw new Error('fuse-native could not mount');
	return { mountPoint: options.mountPoint, stop };
}
