import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import createDebug from 'debug';
import { ioError, messageOf, NoonmarkError, refused } from '../errors.ts';
import { checkNotCovered, isMounted, type MountedFrom, mountFuse, unmount } from '../fuse/mount.ts';
import type { Writer } from '../shadow/writers.ts';
import { findMount } from '../system/mountinfo.ts';
import { FileSystemWriter } from './file-system-writer.ts';
import { type DeviceMount, deviceNumber, loopDevicesOver, mountsFrom, withLoopDevicesOver } from './loop-mounts.ts';
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
	readonly #mount: MountedFrom;
	/** Where the service itself has mounted the file system. */
	#data: string | null = null;

	/** Mounts the live device; from then on it answers. */
	constructor(thread: LiveThread, options: { path: string; source: string; readOnly: boolean }) {
		this.thread = thread;
		this.path = options.path;
		const { path: mountPoint, source, readOnly } = options;
		const mount = mountFuse({ mountPoint, root: 'file', source, readOnly, allowOther: false });
		this.#mount = mount;
		thread.serve(mount.fd);
	}

	/**
	 * Mounts the file system of the live device. The loop device does direct I/O: several requests are under way at once,
	 * and nothing is cached twice. It detaches itself when its last mount goes. Until it is mounted it is held open: somebody
	 * else may detach what is not in use, and its number would be another file's at once.
	 */
	async mountData(directory: string, readOnly: boolean): Promise<void> {
		const options = readOnly ? ['--read-only'] : [];
		const output = await runTool('losetup', ['--find', '--show', '--direct-io=on', ...options, this.path]);
		const loop = output.trim();
		await withLoopDevicesOver(this.path, async (held) => {
			if (!held.some(({ path }) => path === loop))
				throw ioError('loop-device-lost', `${loop}: was detached by somebody else before it was mounted; try again`);
			try {
				await runTool('mount', ['-o', readOnly ? 'ro' : 'rw', loop, directory]);
				this.#data = directory;
			} finally {
				await runTool('losetup', ['--detach', loop]).catch((error) => log('%s', messageOf(error)));
			}
		});
	}

	/** Errors: refused `mount-busy` where something else is mounted over the data directory: it would be unmounted instead. */
	checkDataNotCovered(): void {
		if (this.#data === null) return;
		const ours = loopDevicesOver(this.path).flatMap(({ majorMinors }) => majorMinors);
		checkNotCovered(this.#data, ({ majorMinor }) => ours.includes(majorMinor));
	}

	/** Errors: io `tool-failed` where it is in use; those of checkDataNotCovered. */
	async #unmountData(): Promise<void> {
		// Somebody may unmount it at any time, as the system does when it shuts down.
		const isThere = (data: string) => this.mounts().some(({ mountPoint }) => mountPoint === data);
		if (this.#data === null || !isThere(this.#data)) return;
		this.checkDataNotCovered();
		try {
			await runTool('umount', [this.#data]);
		} catch (error) {
			if (isThere(this.#data)) throw error;
		}
		this.#data = null;
	}

	/** Every file system that is mounted from the live device, by whomever. */
	writers(): Writer[] {
		return this.mounts().map((mount) => new FileSystemWriter(mount));
	}

	mounts(): DeviceMount[] {
		return mountsFrom(this.path);
	}

	/** Unmounts and waits until the volume is closed. Errors: refused `mount-busy`; io `tool-failed` where data is in use. */
	async close(): Promise<void> {
		await this.#unmountData();
		const wasMounted = isMounted(this.#mount);
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
		for (const mount of this.mounts()) await shutDown(mount);
		unmount(this.#mount, { detach: true });
		// Not there any more where it has just ended by itself.
		await this.thread.stop().catch((error) => log('%s', messageOf(error)));
		await this.thread.ended;
	}

	async #unmountWhenReleased(): Promise<void> {
		for (let waitedMs = 0; ; waitedMs += 50) {
			try {
				return unmount(this.#mount, { detach: false });
			} catch (error) {
				const busy = error instanceof NoonmarkError && error.code === 'mount-busy';
				if (!busy || waitedMs >= LOOP_RELEASE_MS_MAX) throw error;
				await delay(50);
			}
		}
	}
}

/** Writes a file system out, ends it, and takes it out of sight: its disk is as after an unmount, whoever is still in it. */
async function shutDown({ mountPoint, majorMinor }: DeviceMount): Promise<void> {
	// Where that fails, what was synced is on the disk; the rest is lost, as in a power cut.
	const attempt = (command: string, args: string[]) =>
		runTool(command, args, SHUT_DOWN_MS_MAX).catch((error) => log('%s', messageOf(error)));
	await attempt(process.execPath, [SHUT_DOWN, mountPoint, String(deviceNumber(majorMinor))]);
	if (findMount(mountPoint)?.majorMinor === majorMinor) await attempt('umount', ['--lazy', mountPoint]);
}
