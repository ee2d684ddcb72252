/**
 * What a volume was when a shadow copy of it was taken, kept beside Noonmark and without it: a plain copy of the image,
 * made while its file system was frozen, as the kernel's own driver shows it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { run, runOk } from '../helpers/run.ts';
import { renumbered, type TreeEntry, treeDifferences, treeOfDirectory } from '../helpers/tree.ts';
import type { ShadowCopyJson, TestVolume } from '../helpers/volume.ts';

const TIMEOUT_MS = 120_000;

export interface KeptState {
	readonly image: string;
	readonly tree: readonly TreeEntry[];
	readonly copy: ShadowCopyJson;
}

/** Keeps the state of a volume that nobody writes to, and takes a shadow copy of it. */
export async function keepState(volume: TestVolume, label: string): Promise<KeptState> {
	const image = join(volume.directory, `kept-${label}.img`);
	await runOk('fsfreeze', ['--freeze', volume.data]);
	try {
		await runOk('cp', ['--sparse=always', volume.image, image], { timeoutMs: TIMEOUT_MS });
	} finally {
		await runOk('fsfreeze', ['--unfreeze', volume.data]);
	}
	const copy = await volume.create();
	return { image, copy, tree: await withKernelMount(image, 'ro', treeOf) };
}

/** The differences between a shadow copy and what it should be: every name, byte, attribute and hole. */
export async function differences({ copy, tree }: KeptState): Promise<string[]> {
	return treeDifferences(await treeOf(copy.path), tree);
}

/**
 * What rsync would have to do to make the copy from the kernel's mount, with every attribute that it knows; nothing.
 * It reads every hole of a sparse file, on both sides, so that files above `largest` are left out.
 */
export function rsyncDifferences({ image, copy }: KeptState, largest: string): Promise<string> {
	const options = ['-aHAX', '--numeric-ids', '--checksum', '--modify-window=-1', '--delete'];
	const asked = ['--dry-run', '--itemize-changes', `--max-size=${largest}`];
	return withKernelMount(image, 'ro', async (mountPoint) => {
		const args = [...options, ...asked, `${mountPoint}/`, `${copy.path}/`];
		const { code, stdout, stderr } = await run('rsync', args, { timeoutMs: TIMEOUT_MS });
		return code === 0 ? stdout.toString() + stderr : `exit ${code}: ${stderr}`;
	});
}

const treeOf = async (directory: string) => renumbered(await treeOfDirectory(directory, { timeoutMs: TIMEOUT_MS }));

/** Makes the kernel ask again for names and attributes. Contents it asks for anyway, and the disk's cache stays. */
export const dropCaches = () => writeFileSync('/proc/sys/vm/drop_caches', '2');

/** Reads copies round by round while the volume is written to, and compares what it reads, until it is stopped. */
export class ReaderLoop {
	readonly #states: KeptState[] = [];
	readonly #found: string[] = [];
	#isStopping = false;
	#rounds = 0;
	#ended: Promise<void> | undefined;

	/** From now on this copy is read, too. */
	add(state: KeptState): void {
		this.#states.push(state);
		this.#ended ??= this.#run();
	}

	/** How many are done. */
	get rounds(): number {
		return this.#rounds;
	}

	/** Lets the round under way end. */
	async stop(): Promise<{ rounds: number; differences: readonly string[] }> {
		this.#isStopping = true;
		await this.#ended;
		return { rounds: this.#rounds, differences: this.#found };
	}

	async #run(): Promise<void> {
		while (!this.#isStopping) {
			const state = this.#states[this.#rounds % this.#states.length]!;
			dropCaches();
			this.#found.push(...(await differences(state).catch((error) => [String(error)])));
			this.#rounds++;
		}
	}
}
