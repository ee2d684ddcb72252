import { existsSync } from 'node:fs';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { BrowseTree } from '../../src/fuse/browse-tree.ts';

export interface BrowseServerData {
	/** Copies by number; the same image may be shown by several. */
	readonly copies: readonly { number: number; name: string; image: string }[];
}

/** The handler of the browse tests: an image for each copy. A file `IMAGE.gone` beside it makes the copy gone. */
export function createHandler({ copies }: BrowseServerData): BrowseTree {
	const tree = new BrowseTree({
		log: (message, error) =>
			console.error(`browse-server: ${message}: ${error instanceof Error ? error.message : error}`),
	});
	tree.setCopies(
		copies.map(({ number, name, image }) => ({
			number,
			name,
			createdAtMs: 1_700_000_000_000 + number,
			open: () => ExtFileSystem.open(FileDevice.open(image, 'read')),
			isGone: () => existsSync(`${image}.gone`),
		})),
		1_700_000_000_000,
	);
	return tree;
}
