/** The transports that serve the tree: the tests of the tree are run on each of them. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { hasFuseNative } from '../../src/fuse/fuse-native.ts';
import { serveFuseNative, serveMount } from '../helpers/fuse-mount.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import type { CopiesState } from './browse-server.ts';

/** What the tree serves: see browse-server.ts. */
export type Served = CopiesState | { readonly stateFile: string };

export interface ServedTree {
	readonly mountPoint: string;
	/** For notifications, where the transport can make any. */
	readonly fd?: number;
	stop(): Promise<void>;
}

export class Transport {
	readonly name: string;
	readonly isThere: boolean;
	/** What cannot be seen through it. */
	readonly #gaps: ReadonlySet<string>;
	readonly #mount: (t: ExecutionContext, mountPoint: string, data: Served) => Promise<ServedTree>;

	constructor(
		name: string,
		isThere: boolean,
		gaps: readonly string[],
		mount: (t: ExecutionContext, mountPoint: string, data: Served) => Promise<ServedTree>,
	) {
		this.name = name;
		this.isThere = isThere;
		this.#gaps = new Set(gaps);
		this.#mount = mount;
	}

	serve(t: ExecutionContext, data: Served): Promise<ServedTree> {
		const mountPoint = join(temporaryDirectory(t), 'browse');
		mkdirSync(mountPoint);
		return this.#mount(t, mountPoint, data);
	}

	hasGap(what: string): boolean {
		return this.#gaps.has(what);
	}

	/** Asserts that what is seen is what is to be seen; where that is a gap, that it is one still. */
	same(t: ExecutionContext, what: string, seen: unknown, expected: unknown): void {
		if (this.hasGap(what)) t.notDeepEqual(seen, expected, `${what}: no gap of ${this.name} any more`);
		else t.deepEqual(seen, expected, what);
	}
}

const handlerModule = new URL('./browse-server.js', import.meta.url).href;

/** The names that are given to `same`. The README tells of them. */
const GAPS_OF_FUSE_NATIVE = [
	'names of any bytes',
	'link targets of any bytes',
	'which names are one file',
	'attributes that outgrow the first buffer of a reader',
	'times to the nanosecond',
	'data and holes',
	'flags, projects and generations',
	'birth times',
	'what other users may read',
	'inode numbers of two copies, in both halves',
	'inode numbers in a listing',
	'who is in a deleted copy is told that it is gone',
	'file handles that outlive the mount',
];

export const TRANSPORTS: readonly Transport[] = [
	new Transport('direct', true, [], async (t, mountPoint, handlerData) =>
		serveMount(t, {
			...{ mountPoint, root: 'directory', source: 'noonmark', readOnly: true, allowOther: true, threads: 2 },
			...{ handlerModule, handlerData },
		}),
	),
	new Transport('fuse-native', hasFuseNative(), GAPS_OF_FUSE_NATIVE, (t, mountPoint, handlerData) =>
		serveFuseNative(t, { mountPoint, source: 'noonmark', handlerModule, handlerData }),
	),
];
