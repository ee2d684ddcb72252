import { LineCache } from '../block/line-cache.ts';
import { ExtFileSystem } from '../ext/filesystem.ts';
import { type BrowseCopy, BrowseTree, type BrowseTreeOptions } from '../fuse/browse-tree.ts';
import type { BrowsableCopy, ShownCopies } from './messages.ts';
import { ShadowDevices } from './shadow-devices.ts';

/** The tree of shadow copies in one thread, and the devices behind it. */
export class ShownTree {
	readonly tree: BrowseTree;
	readonly #devices = new ShadowDevices();
	readonly #cache: LineCache;
	readonly #briefCache = new LineCache(0);

	/** `cacheBytes` is for the metadata of all copies. */
	constructor(options: BrowseTreeOptions & { readonly cacheBytes: number }, shown: ShownCopies) {
		this.#cache = new LineCache(options.cacheBytes);
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
			open: () => ExtFileSystem.open(view, { cache: this.#cache, replayJournal }),
			openBriefly: () => ExtFileSystem.open(view, { cache: this.#briefCache, replayJournal }),
			isGone: () => view.isGone(),
		};
	}
}
