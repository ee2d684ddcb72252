import { casefold } from './casefold.ts';
import type { EntryVisitor } from './directory.ts';

/** A name as it is after the edits; inode 0: there is no such name any more. */
export interface EditedName {
	readonly name: Buffer;
	readonly inode: number;
	/** As in a directory entry (EXT4_FT_…). */
	readonly fileType: number;
}

/** The position in a listing of the first name that is in no block of its directory: past all that blocks can have. */
const FIRST_ADDED_POSITION = 2 ** 50;

/** What became of the names of one directory. */
export class DirectoryEdits {
	/** Nothing that the directory's blocks say counts: it was made by the edits. */
	readonly isNew: boolean;
	readonly #folds: boolean;
	readonly #names = new Map<string, EditedName>();
	#added: readonly EditedName[] | undefined;

	/** `folds`: whether names are found in any spelling. */
	constructor({ isNew, folds }: { isNew: boolean; folds: boolean }) {
		this.isNew = isNew;
		this.#folds = folds;
	}

	/** What the edits say of a name; undefined: nothing. */
	find(name: Uint8Array): EditedName | undefined {
		return this.#names.get(this.#keyOf(name));
	}

	set(edited: EditedName): void {
		const key = this.#keyOf(edited.name);
		this.#names.delete(key); // so that the order is that of the edits
		this.#names.set(key, edited);
		this.#added = undefined;
	}

	/** The names to list behind those of the directory's blocks; always in the same order. */
	get added(): readonly EditedName[] {
		this.#added ??= [...this.#names.values()].filter(({ inode }) => inode !== 0);
		return this.#added;
	}

	#keyOf(name: Uint8Array): string {
		const key = (this.#folds ? casefold(name) : undefined) ?? name;
		return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
	}
}

/** Lists a directory: what is stored, as far as the edits leave it alone, and then what they added. */
export function readEdited(
	edits: DirectoryEdits,
	position: number,
	visit: EntryVisitor,
	readStored: (visit: EntryVisitor) => void,
): void {
	let isStopped = false;
	if (position < FIRST_ADDED_POSITION && !edits.isNew) {
		readStored((name, inode, fileType, next) => {
			if (edits.find(name)) return true;
			isStopped = !visit(name, inode, fileType, next);
			return !isStopped;
		});
	}
	for (let i = Math.max(0, position - FIRST_ADDED_POSITION); !isStopped && i < edits.added.length; i++) {
		const { name, inode, fileType } = edits.added[i]!;
		isStopped = !visit(name, inode, fileType, FIRST_ADDED_POSITION + i + 1);
	}
}
