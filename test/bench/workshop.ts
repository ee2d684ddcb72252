import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where a bench works: a directory of its own, and what has to be taken down at its end, whatever happens. */
export class Workshop {
	readonly directory = mkdtempSync(join(tmpdir(), 'noonmark-bench-'));
	readonly #undone: (() => Promise<unknown>)[] = [];

	path(name: string): string {
		return join(this.directory, name);
	}

	emptyDirectory(name: string): string {
		const path = this.path(name);
		mkdirSync(path, { recursive: true });
		return path;
	}

	/** Registers what undoes a step. It runs at the end, or when the returned function is called; only once. */
	atEnd(undo: () => Promise<unknown>): () => Promise<void> {
		let pending = true;
		const once = async () => {
			if (pending) await undo();
			pending = false;
		};
		this.#undone.push(once);
		return once;
	}

	/** Takes everything down, and removes the directory where nothing is mounted in it any more. */
	async close(): Promise<void> {
		for (const undo of this.#undone.reverse()) {
			await undo().catch((error: unknown) => process.stderr.write(`${(error as Error).message}\n`));
		}
		if (readFileSync('/proc/self/mounts', 'utf8').includes(this.directory))
			process.stderr.write(`${this.directory}: something is still mounted in it\n`);
		else rmSync(this.directory, { recursive: true, force: true });
	}
}

/** Runs a bench in a workshop, and takes it down afterwards: also where it fails, or is interrupted from the terminal. */
export async function inWorkshop(bench: (workshop: Workshop) => Promise<void>): Promise<void> {
	const workshop = new Workshop();
	const interrupted = new Promise<never>((_, reject) => {
		for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(signal)));
	});
	try {
		await Promise.race([bench(workshop), interrupted]);
	} finally {
		await workshop.close();
	}
}
