import { ExtFileSystem } from '../ext/filesystem.ts';
import { type BrowseCopy, BrowseTree, type BrowseTreeOptions } from '../fuse/browse-tree.ts';
import { ShadowDevices } from './device-spec.ts';
import type { BrowsableCopy, ShownCopies } from './messages.ts';

/** For the metadata of one copy; a tree keeps the 16 copies open that were used last. */
const CACHE_BYTES = 8 << 20;

/** The tree of shadow copies in one thread, and the devices behind it. */
export class ShownTree {
	readonly tree: BrowseTree;
	readonly #devices = new ShadowDevices();

	constructor(options: BrowseTreeOptions, shown: ShownCopies) {
		this.tree = new BrowseTree(options);
		this.show(shown);
	}

	show({ copies, changedAtMs, replayJournal }: ShownCopies): void {
		this.tree.setCopies(
			copies.map((copy) => this.#browseCopy(copy, replayJournal)),
			changedAtMs,
		);
		this.#devices.release(copies.map(({ device }) => device));
	}

	close(): void {
		this.#devices.close();
	}

	#browseCopy({ number, name, createdAtMs, device }: BrowsableCopy, replayJournal: boolean): BrowseCopy {
		const view = this.#devices.open(device);
		return {
			number,
			name,
			createdAtMs,
			open: () => ExtFileSystem.open(view, { cacheBytes: CACHE_BYTES, replayJournal }),
			isGone: () => view.isGone(),
		};
	}
}
