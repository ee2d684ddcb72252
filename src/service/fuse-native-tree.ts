import createDebug from 'debug';
import { messageOf } from '../errors.ts';
import { type FuseNativeMount, mountFuseNative } from '../fuse/fuse-native.ts';
import { unmount } from '../fuse/mount.ts';
import type { ShownCopies } from './messages.ts';
import type { ServedTree } from './served-tree.ts';
import { ShownTree } from './shown-tree.ts';

const log = createDebug('noonmark:service:browse');

interface FuseNativeTreeOptions {
	readonly mountPoint: string;
	readonly source: string;
	readonly cacheBytes: number;
}

/** The tree of shadow copies through fuse-native, served from the main thread: it can be served from no other. */
export class FuseNativeTree implements ServedTree {
	readonly ended: Promise<void>;
	readonly #mount: FuseNativeMount;
	readonly #shown: ShownTree;

	static async mount(options: FuseNativeTreeOptions, shown: ShownCopies): Promise<FuseNativeTree> {
		const note = (message: string, error: unknown) => log('%s: %s', message, messageOf(error));
		const tree = new ShownTree({ log: note, cacheBytes: options.cacheBytes }, shown);
		return new FuseNativeTree(await mountFuseNative(tree.tree, options), tree);
	}

	private constructor(mount: FuseNativeMount, shown: ShownTree) {
		this.#mount = mount;
		this.#shown = shown;
		this.ended = mount.ended.then(() => shown.close());
	}

	async show(shown: ShownCopies): Promise<void> {
		this.#shown.show(shown);
	}

	unmount(options: { detach: boolean }): void {
		unmount(this.#mount, options);
	}

	/** Its library cannot be stopped: it is, with the process. */
	async stop(): Promise<void> {}
}
