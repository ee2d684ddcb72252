import { setTimeout as delay } from 'node:timers/promises';
import { NoonmarkError } from '../errors.ts';
import { mountFuse, unmount } from '../fuse/mount.ts';
import type { Writer } from '../shadow/writers.ts';
import { FileSystemWriter } from './file-system-writer.ts';
import { loopDevicesOver, mountPointsOf } from './loop-mounts.ts';
import { runTool } from './run-tool.ts';
import type { LiveThread } from './thread-clients.ts';

/** The kernel gives a loop device up a moment after its last user has gone. */
const LOOP_RELEASE_MS_MAX = 3000;

/** The live device on its path, and the data file system that may be mounted from it. */
export class LiveDevice {
	readonly path: string;
	readonly thread: LiveThread;
	/** Where the service itself has mounted the file system. */
	#data: string | null = null;

	/** Mounts the live device; from then on it answers. */
	constructor(thread: LiveThread, options: { path: string; source: string; readOnly: boolean }) {
		this.thread = thread;
		this.path = options.path;
		const mount = mountFuse({
			mountPoint: options.path,
			root: 'file',
			source: options.source,
			readOnly: options.readOnly,
			allowOther: false,
		});
		thread.serve(mount.fd);
	}

	/**
	 * Mounts the file system of the live device. The loop device does direct I/O: several requests are under way at once,
	 * and nothing is cached twice. It detaches itself when its last mount goes.
	 */
	async mountData(directory: string, readOnly: boolean): Promise<void> {
		const options = readOnly ? ['--read-only'] : [];
		const output = await runTool('losetup', ['--find', '--show', '--direct-io=on', ...options, this.path]);
		const loop = output.trim();
		try {
			await runTool('mount', ['-o', readOnly ? 'ro' : 'rw', loop, directory]);
			this.#data = directory;
		} finally {
			await runTool('losetup', ['--detach', loop]);
		}
	}

	/** Errors: io `tool-failed`; with `lazy`, the file system goes on for those who use it. */
	async unmountData(options: { lazy: boolean }): Promise<void> {
		if (this.#data === null) return;
		// Somebody may have unmounted it already, as the system does when it shuts down.
		if (!this.mountPoints().includes(this.#data)) return;
		await runTool('umount', options.lazy ? ['--lazy', this.#data] : [this.#data]);
		this.#data = null;
	}

	/** Every file system that is mounted from the live device, by whomever. */
	writers(): Writer[] {
		return this.mountPoints().map((mountPoint) => new FileSystemWriter(mountPoint));
	}

	mountPoints(): string[] {
		return mountPointsOf(loopDevicesOver(this.path).flatMap(({ majorMinors }) => majorMinors));
	}

	/** Unmounts and waits until the volume is closed. Errors: refused `mount-busy`. */
	async close(options: { detach: boolean }): Promise<void> {
		await this.#unmountWhenReleased(options);
		await this.thread.ended;
	}

	async #unmountWhenReleased(options: { detach: boolean }): Promise<void> {
		for (let waitedMs = 0; ; waitedMs += 50) {
			try {
				return unmount(this.path, options);
			} catch (error) {
				const busy = error instanceof NoonmarkError && error.code === 'mount-busy';
				if (!busy || waitedMs >= LOOP_RELEASE_MS_MAX) throw error;
				await delay(50);
			}
		}
	}
}
