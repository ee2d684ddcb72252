import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { ioError } from '../errors.ts';
import type { Writer } from '../shadow/writers.ts';
import { runTool, toolEnvironment } from './run-tool.ts';

/**
 * Freezes at the first line that it reads and thaws at the end of its input. So it is there before it is needed, and a
 * thaw waits neither for a new process of the service, nor for the service itself: killed, it ends the input, too.
 */
const KEEPER = `
read -r go || exit 0
fsfreeze --freeze "$1" && echo frozen || exit 1
read -r end
for try in 1 2 3 4 5; do
	fsfreeze --unfreeze "$1" && exit 0
	sleep 1
done
exit 1`;

/** A mounted file system as a writer: fsfreeze(8) flushes it and stops its writes. */
export class FileSystemWriter implements Writer {
	readonly name: string;
	readonly #mountPoint: string;
	#keeper: Keeper | undefined;

	constructor(mountPoint: string) {
		this.name = `the file system on ${mountPoint}`;
		this.#mountPoint = mountPoint;
	}

	async prepare(): Promise<void> {
		this.#keeper = new Keeper(this.#mountPoint);
		await runTool('sync', ['--file-system', this.#mountPoint]);
	}

	async freeze(): Promise<void> {
		this.#keeper ??= new Keeper(this.#mountPoint);
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

	constructor(mountPoint: string) {
		this.#child = spawn('sh', ['-c', KEEPER, 'sh', mountPoint], {
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
