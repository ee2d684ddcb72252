/** Records what reaches the disk from below one directory, in order, with notes of the workload in between. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type FileCall, interpose, real } from './file-calls.ts';
import type { Note } from './volume-model.ts';

/** Files are told apart by a number, for names change. */
export type DiskEvent =
	| { readonly kind: 'create'; readonly file: number; readonly path: string; readonly isDirectory: boolean }
	| { readonly kind: 'rename'; readonly file: number; readonly path: string; readonly to: string }
	| { readonly kind: 'unlink'; readonly path: string }
	| { readonly kind: 'syncDirectory'; readonly path: string }
	| { readonly kind: 'write'; readonly file: number; readonly at: number; readonly bytes: Buffer }
	| { readonly kind: 'zero'; readonly file: number; readonly at: number; readonly lengthBytes: number }
	| { readonly kind: 'truncate'; readonly file: number; readonly lengthBytes: number }
	| { readonly kind: 'sync'; readonly file: number; readonly dataOnly: boolean }
	| { readonly kind: 'note'; readonly note: Note };

type ContentCall = FileCall & { kind: 'write' | 'truncate' | 'zero' | 'sync' };

export class Recorder {
	readonly directory: string;
	readonly events: DiskEvent[] = [];
	/** What the directory held before, durable; undefined: a directory. */
	readonly initial = new Map<string, Buffer | undefined>();
	readonly initialModifications: ReadonlyMap<string, number>;
	readonly #names = new Map<string, number>();
	readonly #files = new Map<number, number>(); // by descriptor
	readonly #modifications = new Map<number, number>();
	#nextFile = 1;

	/**
	 * Records from now on. `modifications`: how often files were changed before. `ignore` drops calls that it picks from
	 * the record: for the simulator they never were.
	 */
	constructor(directory: string, modifications: ReadonlyMap<string, number>, ignore: (call: FileCall) => boolean) {
		this.directory = directory;
		this.initialModifications = modifications;
		for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
			const path = join(entry.parentPath, entry.name);
			this.initial.set(path, entry.isDirectory() ? undefined : real.readFileSync(path));
			this.#modifications.set(this.#nextFile, modifications.get(path) ?? 0);
			this.#names.set(path, this.#nextFile++);
		}
		interpose(directory, (call, perform) => {
			const existed = call.kind !== 'open' && call.kind !== 'mkdir' ? false : real.existsSync(call.path);
			const result = perform();
			if (!ignore(call)) this.#record(call, existed, result);
			return result;
		});
	}

	note(note: Note): void {
		this.events.push({ kind: 'note', note });
	}

	/** Puts a note where the record was when it had `position` events. */
	noteAt(position: number, note: Note): void {
		this.events.splice(position, 0, { kind: 'note', note });
	}

	/** How often a file's content was changed: what its modification time stands for. */
	modifications(path: string): number {
		return this.#modifications.get(this.#names.get(path)!) ?? 0;
	}

	stop(): void {
		interpose(this.directory, undefined);
	}

	#record(call: FileCall, existed: boolean, result: unknown): void {
		switch (call.kind) {
			case 'read':
			case 'reserve':
				return;
			case 'open':
				this.#recordOpen(call, existed, result as number);
				return;
			case 'mkdir':
				if (!existed) this.#create(call.path, true);
				return;
			case 'rename': {
				const file = this.#names.get(call.path)!;
				this.#names.delete(call.path);
				this.#names.set(call.to, file);
				this.events.push({ kind: 'rename', file, path: call.path, to: call.to });
				return;
			}
			case 'unlink':
				this.#names.delete(call.path);
				this.events.push({ kind: 'unlink', path: call.path });
				return;
			case 'syncDirectory':
				this.events.push({ kind: 'syncDirectory', path: call.path });
				return;
			default:
				this.#recordContent(call, this.#files.get(call.fd)!);
		}
	}

	#recordOpen(call: FileCall & { kind: 'open' }, existed: boolean, fd: number): void {
		const isNew = !existed && (call.flags & real.constants.O_CREAT) !== 0;
		const file = isNew ? this.#create(call.path, false) : this.#names.get(call.path);
		if (file === undefined) return; // the directory itself
		this.#files.set(fd, file);
		if (existed && call.flags & real.constants.O_TRUNC) this.#change({ kind: 'truncate', file, lengthBytes: 0 });
	}

	#recordContent(call: ContentCall, file: number): void {
		if (call.kind === 'sync') this.events.push({ kind: 'sync', file, dataOnly: call.dataOnly });
		else if (call.kind === 'write') this.#change({ kind: 'write', file, at: call.at, bytes: call.bytes });
		else if (call.kind === 'truncate') this.#change({ kind: 'truncate', file, lengthBytes: call.lengthBytes });
		else this.#change({ kind: 'zero', file, at: call.at, lengthBytes: call.lengthBytes });
	}

	#change(event: DiskEvent & { file: number }): void {
		this.#modifications.set(event.file, (this.#modifications.get(event.file) ?? 0) + 1);
		this.events.push(event);
	}

	#create(path: string, isDirectory: boolean): number {
		const file = this.#nextFile++;
		this.#names.set(path, file);
		this.events.push({ kind: 'create', file, path, isDirectory });
		return file;
	}
}

/** The regular files below a directory. */
export function filesBelow(directory: string): string[] {
	return readdirSync(directory, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath, entry.name));
}
