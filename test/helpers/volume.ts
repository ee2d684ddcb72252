import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunOptions, type RunResult, run, runOk } from './run.ts';
import { type TeardownContext, temporaryDirectory } from './temp.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'main.js');

/** Runs the command line as a user does. */
export const noonmark = (args: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
	run(process.execPath, [MAIN, ...args], options);

/** Runs a command that must succeed; returns what it printed. */
export const noonmarkOk = (args: readonly string[], options: RunOptions = {}): Promise<Buffer> =>
	runOk(process.execPath, [MAIN, ...args], options);

/** As noonmarkOk, with --json. */
export const noonmarkJson = async <T>(args: readonly string[], options: RunOptions = {}): Promise<T> =>
	JSON.parse((await noonmarkOk([...args, '--json'], options)).toString()) as T;

export interface ShadowCopyJson {
	readonly id: string;
	readonly setId: string;
	readonly name: string;
	readonly createdAt: string;
	readonly path: string;
	readonly volume: string;
	readonly provider: string;
	readonly state: string;
	readonly fault: string | null;
	readonly attributes: readonly string[];
	readonly preservedBytes: number;
	readonly freedByDeletingBytes: number | null;
}

/** An image in a directory of its own, with the places where it can be mounted. The test's end takes everything down. */
export class TestVolume {
	readonly directory: string;
	readonly image: string;
	readonly mountpoint: string;
	readonly data: string;
	readonly storage: string;
	readonly live: string;

	constructor(t: TeardownContext, options: { sizeBytes?: number; mkfs?: readonly string[] } = {}) {
		this.directory = temporaryDirectory(t);
		this.image = join(this.directory, 'disk.img');
		this.mountpoint = join(this.directory, 'previous');
		this.data = join(this.directory, 'data');
		this.storage = `${this.image}.noonmark`;
		this.live = join(this.storage, 'live');
		writeFileSync(this.image, '');
		truncateSync(this.image, options.sizeBytes ?? 64 << 20);
		execFileSync('mke2fs', ['-q', '-F', ...(options.mkfs ?? ['-t', 'ext4']), this.image], { timeout: 60_000 });
		mkdirSync(this.mountpoint);
		mkdirSync(this.data);
		t.teardown(() => this.#tearDown());
	}

	/** Mounts with a data directory; more options may follow. */
	async mount(...options: string[]): Promise<void> {
		await noonmarkOk(['mount', this.image, this.mountpoint, '--data', this.data, ...options]);
	}

	async create(): Promise<ShadowCopyJson> {
		const { shadowCopies } = await noonmarkJson<{ shadowCopies: ShadowCopyJson[] }>(['create', this.image]);
		return shadowCopies[0]!;
	}

	async list(): Promise<ShadowCopyJson[]> {
		return (await noonmarkJson<{ shadowCopies: ShadowCopyJson[] }>(['list', 'shadows', this.image])).shadowCopies;
	}

	async pid(): Promise<number> {
		const { volumes } = await noonmarkJson<{ volumes: { pid: number }[] }>(['status', this.image]);
		return volumes[0]!.pid;
	}

	/** The mounts and loop devices that stand on this volume: none when everything is taken down. */
	leftovers(): string[] {
		const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
		const loops = execFileSync('losetup', ['--all', '--noheadings', '--output', 'NAME,BACK-FILE'], {
			encoding: 'utf8',
			timeout: 15_000,
		}).split('\n');
		return [...mounts, ...loops]
			.filter((line) => line.includes(this.directory))
			.map((line) => line.replaceAll(/ +/g, ' '));
	}

	/** Whatever the test left: the orderly way first, then by force. */
	#tearDown(): void {
		const attempt = (command: string, args: string[]) => {
			try {
				return execFileSync(command, args, {
					timeout: 15_000,
					killSignal: 'SIGKILL',
					stdio: ['ignore', 'pipe', 'ignore'],
					encoding: 'utf8',
				});
			} catch {
				return '';
			}
		};
		const status = attempt(process.execPath, [MAIN, 'status', this.image, '--json']);
		attempt(process.execPath, [MAIN, 'unmount', this.image]);
		if (this.leftovers().length === 0) return;
		if (status)
			attempt('kill', ['-KILL', String((JSON.parse(status) as { volumes: { pid: number }[] }).volumes[0]!.pid)]);
		// As long as it is mounted a loop device is this volume's; given up, it may be another's at once.
		for (const line of this.leftovers())
			if (line.startsWith('/dev/loop')) attempt('losetup', ['--detach', line.split(' ')[0]!]);
		for (const mountPoint of [this.data, this.mountpoint, this.live]) attempt('umount', ['--lazy', mountPoint]);
	}
}

/** Resolves once `condition` holds; rejects after `timeoutMs`. */
export async function eventually(
	what: string,
	condition: () => boolean | Promise<boolean>,
	timeoutMs = 60_000,
): Promise<void> {
	for (const endMs = Date.now() + timeoutMs; !(await condition()); ) {
		if (Date.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
}
