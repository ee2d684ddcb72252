import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import createDebug from 'debug';
import { messageOf, NoonmarkError, refused } from '../errors.ts';
import { mountFuse, unmount } from '../fuse/mount.ts';
import type { Writer } from '../shadow/writers.ts';
import { findMount } from '../system/mountinfo.ts';
import { FileSystemWriter } from './file-system-writer.ts';
import { loopDevicesOver, mountPointsOf } from './loop-mounts.ts';
import { runTool } from './run-tool.ts';
import type { LiveThread } from './thread-clients.ts';

const log = createDebug('noonmark:service:live');

/** How long to wait before it is tried again to unmount what is in use. */
const RETRY_MS = 500;
const SHUT_DOWN = join(import.meta.dirname, 'shut-down-file-system.js');
/** With PATIENCE_MS of a stop less than service managers wait before they kill. */
const SHUT_DOWN_MS_MAX = 20_000;

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
			// Where it is gone already, because nobody has mounted it or somebody else detached it, that is no error of ours.
			await runTool('losetup', ['--detach', loop]).catch((error) => log('%s', messageOf(error)));
		}
	}

	/** Errors: io `tool-failed` where it is in use. */
	async #unmountData(): Promise<void> {
		// Somebody may unmount it at any time, as the system does when it shuts down.
		const isMounted = (data: string) => this.mountPoints().includes(data);
		if (this.#data === null || !isMounted(this.#data)) return;
		try {
			await runTool('umount', [this.#data]);
		} catch (error) {
			if (isMounted(this.#data)) throw error;
		}
		this.#data = null;
	}

	/** Every file system that is mounted from the live device, by whomever. */
	writers(): Writer[] {
		return this.mountPoints().map((mountPoint) => new FileSystemWriter(mountPoint));
	}

	mountPoints(): string[] {
		return mountPointsOf(loopDevicesOver(this.path).flatMap(({ majorMinors }) => majorMinors));
	}

	/** Unmounts and waits until the volume is closed. Errors: refused `mount-busy`; io `tool-failed` where data is in use. */
	async close(): Promise<void> {
		await this.#unmountData();
		const wasMounted = findMount(this.path) !== undefined;
		await this.#unmountWhenReleased();
		if (!wasMounted) await this.#endsBySelf();
		await this.thread.ended;
	}

	/** Out of sight, the live device may be in use still, by mounts that are not known to be on it any more. */
	async #endsBySelf(): Promise<void> {
		const isOver = delay(LOOP_RELEASE_MS_MAX, 'in use' as const, { ref: false });
		if ((await Promise.race([this.thread.ended, isOver])) !== 'in use') return;
		const what = this.#data === null ? 'what is mounted from it' : `what is mounted from it (umount ${this.#data})`;
		throw refused('mount-busy', `${this.path}: is not mounted there any more, but still in use; unmount ${what} first`);
	}

	/**
	 * As close, once nobody uses it any more. When the signal aborts, the file systems on it are written out and shut
	 * down, and the volume is closed though it is in use.
	 */
	async closePatiently(impatient: AbortSignal): Promise<void> {
		while (!impatient.aborted) {
			try {
				return await this.close();
			} catch (error) {
				log('%s', messageOf(error));
			}
			await delay(RETRY_MS, undefined, { signal: impatient }).catch(() => undefined);
		}
		for (const mountPoint of this.mountPoints()) await shutDown(mountPoint);
		unmount(this.path, { detach: true });
		// Not there any more where it has just ended by itself.
		await this.thread.stop().catch((error) => log('%s', messageOf(error)));
		await this.thread.ended;
	}

	async #unmountWhenReleased(): Promise<void> {
		for (let waitedMs = 0; ; waitedMs += 50) {
			try {
				return unmount(this.path, { detach: false });
			} catch (error) {
				const busy = error instanceof NoonmarkError && error.code === 'mount-busy';
				if (!busy || waitedMs >= LOOP_RELEASE_MS_MAX) throw error;
				await delay(50);
			}
		}
	}
}

/** Writes a file system out, ends it, and takes it out of sight: its disk is as after an unmount, whoever is still in it. */
async function shutDown(mountPoint: string): Promise<void> {
	// Where that fails, what was synced is on the disk; the rest is lost, as in a power cut.
	for (const [command, ...args] of [
		[process.execPath, SHUT_DOWN, mountPoint],
		['umount', '--lazy', mountPoint],
	] as const) {
		await runTool(command, args, SHUT_DOWN_MS_MAX).catch((error) => log('%s', messageOf(error)));
	}
}
