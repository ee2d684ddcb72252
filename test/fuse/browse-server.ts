import { readFileSync } from 'node:fs';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { BrowseTree } from '../../src/fuse/browse-tree.ts';
import type { RequestHandler } from '../../src/fuse/session.ts';

export interface ServedCopy {
	readonly number: number;
	readonly name: string;
	readonly image: string;
	readonly isGone?: boolean;
}

export interface CopiesState {
	readonly copies: readonly ServedCopy[];
	readonly changedAtMs: number;
}

/** The handler of the browse tests: an image for each copy, fixed or as a file says at the time of each request. */
export function createHandler(data: CopiesState | { stateFile: string }): RequestHandler {
	const tree = new BrowseTree({
		log: (message, error) => console.error(`${message}: ${error instanceof Error ? error.message : error}`),
	});
	const apply = ({ copies, changedAtMs }: CopiesState) =>
		tree.setCopies(
			copies.map(({ number, name, image, isGone }) => ({
				number,
				name,
				createdAtMs: 1_700_000_000_000 + number,
				open: () => ExtFileSystem.open(FileDevice.open(image, 'read')),
				openBriefly: () => ExtFileSystem.open(FileDevice.open(image, 'read')),
				isGone: () => isGone ?? false,
			})),
			changedAtMs,
		);
	if (!('stateFile' in data)) {
		apply(data);
		return tree;
	}
	let applied = '';
	return {
		features: tree.features,
		handle(request, reply) {
			const state = readFileSync(data.stateFile, 'utf8');
			if (state !== applied) apply(JSON.parse(state));
			applied = state;
			return tree.handle(request, reply);
		},
	};
}
