import type { Transport } from '../fuse/transport.ts';
import { BrowseMount } from './browse-mount.ts';
import { FuseNativeTree } from './fuse-native-tree.ts';
import type { ShownCopies } from './messages.ts';

/** The tree of shadow copies, mounted and served. */
export interface ServedTree {
	/** Resolves when nobody serves the mount any more. */
	readonly ended: Promise<void>;
	/** From its return on the tree has these copies and no others. */
	show(shown: ShownCopies): Promise<void>;
	/** Errors: refused `mount-busy` where somebody uses it and `detach` is not set. */
	unmount(options: { detach: boolean }): void;
	/** Serves it no more: who still uses it gets errors once this process has ended. */
	stop(): Promise<void>;
}

export interface TreeMountOptions {
	readonly mountPoint: string;
	readonly source: string;
	readonly allowOther: boolean;
	/** For the metadata of all copies. */
	readonly cacheBytes: number;
	readonly transport: Transport;
}

/** Mounts the tree. Errors: those of mounting. */
export async function serveTree(options: TreeMountOptions, shown: ShownCopies): Promise<ServedTree> {
	return options.transport === 'fuse-native' ? FuseNativeTree.mount(options, shown) : new BrowseMount(options, shown);
}

const RELEASE_MS_MAX = 3000;

/**
 * Ends a tree that nobody is known to use. An overlay over a copy, or a mount in another mount namespace, cannot be seen and
 * would keep it for ever: these get errors after a moment. Errors: those of unmounting.
 */
export async function endUnusedTree(tree: ServedTree): Promise<void> {
	tree.unmount({ detach: false });
	await Promise.race([tree.ended, aborted(AbortSignal.timeout(RELEASE_MS_MAX))]);
	await tree.stop();
}

/** Takes the tree out of sight at once; whoever uses it may go on until the signal aborts. */
export async function endTree(tree: ServedTree, impatient: AbortSignal): Promise<void> {
	tree.unmount({ detach: true });
	await Promise.race([tree.ended, aborted(impatient)]);
	await tree.stop();
}

const aborted = (signal: AbortSignal) =>
	new Promise<void>((resolve) => {
		if (signal.aborted) resolve();
		else signal.addEventListener('abort', () => resolve(), { once: true });
	});
