import type { Writer } from '../shadow/writers.ts';
import { runTool } from './run-tool.ts';

/** A mounted file system as a writer: fsfreeze(8) flushes it and stops its writes. */
export class FileSystemWriter implements Writer {
	readonly name: string;
	readonly #mountPoint: string;
	#freezing: Promise<unknown> | undefined;
	#isPending = false;

	constructor(mountPoint: string) {
		this.name = `the file system on ${mountPoint}`;
		this.#mountPoint = mountPoint;
	}

	async prepare(): Promise<void> {
		await runTool('sync', ['--file-system', this.#mountPoint]);
	}

	async freeze(): Promise<void> {
		this.#isPending = true;
		this.#freezing = runTool('fsfreeze', ['--freeze', this.#mountPoint]).finally(() => {
			this.#isPending = false;
		});
		await this.#freezing;
	}

	async thaw(): Promise<void> {
		const thawn = this.#freezing?.then(
			() => runTool('fsfreeze', ['--unfreeze', this.#mountPoint]),
			() => undefined,
		);
		// A freeze that is still under way is undone when it comes through; nobody waits for it.
		if (this.#isPending) thawn?.catch(() => undefined);
		else await thawn;
	}
}
