import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { ioError } from '../errors.ts';
import type { Writer } from '../shadow/writers.ts';
import { type DeviceMount, deviceNumber } from './loop-mounts.ts';
import { runTool, toolEnvironment } from './run-tool.ts';

/**
 * Freezes at the first line that it reads and thaws at the end of its input. So it is there before it is needed, and a
 * thaw waits neither for a new process of the service, nor for the service itself: killed, it ends the input, too.
 * It freezes and thaws what it has opened, and found to be on the device that is meant: on the mount point, another file
 * system may be a moment later, or the one below it, perhaps the system's own.
 */
const KEEPER = `
read -r go || exit 0
exec 9<"$1" || exit 1
if [ "$(stat --dereference --format %d /proc/self/fd/9)" != "$2" ]; then
	echo "it is not mounted on $1 any more" >&2
	exit 1
fi
fsfreeze --freeze /proc/self/fd/9 && echo frozen || exit 1
read -r end
for try in 1 2 3 4 5; do
	fsfreeze --unfreeze /proc/self/fd/9 && exit 0
	sleep 1
done
exit 1`;

/** A mounted file system as a writer: fsfreeze(8) flushes it and stops its writes. */
export class FileSystemWriter implements Writer {
	readonly name: string;
	readonly #mount: DeviceMount;
	#keeper: Keeper | undefined;

	constructor(mount: DeviceMount) {
		this.name = `the file system on ${mount.mountPoint}`;
		this.#mount = mount;
	}

	async prepare(): Promise<void> {
		this.#keeper = new Keeper(this.#mount);
		await runTool('sync', ['--file-system', this.#mount.mountPoint]);
	}

	async freeze(): Promise<void> {
		this.#keeper ??= new Keeper(this.#mount);
		await this.#keeper.freeze();
	}

	/** A freeze that is still under way is undone when it comes through; nobody waits for it. */
	async thaw(): Promise<void> {
		await this.#keeper?.thaw();
	}
}

class Keeper {
	readonly #child: ChildProcess;
	readonly #exited: Promise<unknown>;
	#said = '';
	#isFreezing = false;

	constructor({ mountPoint, majorMinor }: DeviceMount) {
		this.#child = spawn('sh', ['-c', KEEPER, 'sh', mountPoint, String(deviceNumber(majorMinor))], {
			stdio: ['pipe', 'pipe', 'pipe'],
			env: toolEnvironment(),
		});
		this.#exited = once(this.#child, 'close').catch(() => undefined);
		this.#child.stdin!.on('error', () => undefined); // it ended before it was told to
		this.#child.stderr!.on('data', (text: Buffer) => {
			this.#said += text;
		});
	}

	/** Errors: io `tool-failed` with what fsfreeze said. */
	async freeze(): Promise<void> {
		this.#isFreezing = true;
		this.#child.stdin!.write('\n');
		const [frozen] = await Promise.race([
			once(createInterface(this.#child.stdout!), 'line'),
			this.#exited.then(() => []),
		]);
		this.#isFreezing = false;
		if (frozen !== 'frozen') throw ioError('tool-failed', this.#said.trim() || 'fsfreeze could not be run');
	}

	/** Errors: io `tool-failed` where the file system may still be frozen. */
	async thaw(): Promise<void> {
		this.#child.stdin!.end();
		if (this.#isFreezing) return;
		await this.#exited;
		if (this.#child.exitCode !== 0) throw ioError('tool-failed', this.#said.trim() || 'fsfreeze ended early');
	}
}
