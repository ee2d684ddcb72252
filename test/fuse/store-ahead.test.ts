import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { createStoreAheadShare } from '../../src/fuse/store-ahead.ts';
import { eventfd } from '../../src/system/libc.ts';
import { serveMount } from '../helpers/fuse-mount.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { eventually } from '../helpers/volume.ts';
import type { StoreAheadServed } from './store-ahead-server.ts';

const test = canMount && programs('mke2fs', 'fincore', 'sha256sum', 'shuf') ? anyTest : anyTest.skip;
const NAME = '@GMT-2026.11.22-10.20.00';

/** Makes an image of a directory. */
async function imageOf(t: ExecutionContext, source: string, sizeMib: number): Promise<string> {
	const image = join(temporaryDirectory(t), 'image');
	await runOk('mke2fs', ['-q', '-t', 'ext4', '-d', source, image, `${sizeMib}M`]);
	return image;
}

function serve(t: ExecutionContext, image: string) {
	const mountPoint = join(temporaryDirectory(t), 'browse');
	mkdirSync(mountPoint);
	const aheadFd = eventfd();
	const readCount = new SharedArrayBuffer(4);
	const mount = serveMount(t, {
		...{ mountPoint, root: 'directory', source: 'noonmark', readOnly: true, allowOther: false, threads: 2 },
		handlerModule: new URL('./store-ahead-server.js', import.meta.url).href,
		handlerData: { name: NAME, image, share: createStoreAheadShare(), aheadFd, readCount } satisfies StoreAheadServed,
		wakeFds: [aheadFd],
	});
	return { ...mount, root: join(mountPoint, NAME), reads: () => new Int32Array(readCount)[0]! };
}

/** Files of all sizes around a page and around the largest that is stored. */
function writeFiles(directory: string, random: Random, count: number): void {
	const SIZES = [0, 1, 100, 4095, 4096, 4097, 8192, 20_000, 131_071, 131_072, 131_073, 200_000];
	for (let i = 0; i < count; i++) {
		const inside = join(directory, `d${i % 5}`);
		mkdirSync(inside, { recursive: true });
		writeFileSync(join(inside, `file-${i}`), random.bytes(random.pick(SIZES)));
	}
}

const ORDERS = {
	'as listed': 'cat',
	sorted: 'sort -z',
	backwards: 'tac -s ""',
	shuffled: 'shuf -z --random-source=/bin/ls',
};

test('whatever the order in which files are read, they are what they were', async (t) => {
	const random = new Random(20261125);
	t.log(`seed ${random.seed}`);
	const source = temporaryDirectory(t);
	writeFiles(source, random, 300);
	const image = await imageOf(t, source, 64);
	const sums = (root: string, order: string) =>
		shell(
			`cd "$1"; find . -name 'file-*' -print0 | ${order} | xargs -0 -n 20 sha256sum | sort; find . -type f -printf '%P %s\\n' | sort`,
			[root],
		).then(String);
	const expected = await sums(source, 'cat');
	for (const [title, order] of Object.entries(ORDERS)) {
		const { root, stop } = serve(t, image);
		t.is(await sums(root, order), expected, title);
		await stop();
	}
});

/** The files of a directory as it lists them. */
const listed = (root: string) =>
	shell('find "$1" -name "file-*"', [root]).then((out) => String(out).trim().split('\n'));

/** How many of the files have pages in the page cache, as the kernel says. */
async function cachedCount(files: readonly string[]): Promise<number> {
	const pages = await runOk('fincore', ['--noheadings', '--raw', '--output', 'PAGES', ...files]);
	return String(pages).split('\n').filter(Number).length;
}

async function smallFiles(t: ExecutionContext, count: number): Promise<string> {
	const source = temporaryDirectory(t);
	for (let i = 0; i < count; i++) writeFileSync(join(source, `file-${i}`), `content of ${i}\n`.repeat(100));
	return imageOf(t, source, 16);
}

test('files that are read as they were listed are there before they are asked for; a listing alone brings none', async (t) => {
	const image = await smallFiles(t, 100);
	// Whoever drops the machine's caches meanwhile spoils an attempt, and no more than that.
	for (let attemptsLeft = 3; ; attemptsLeft--) {
		const { root, reads, stop } = serve(t, image);
		const files = await listed(root);
		t.is(await cachedCount(files), 0);
		try {
			await runOk('cat', files.slice(0, 3));
			await eventually('a window of 16, but for one', async () => (await cachedCount(files.slice(3, 19))) === 15);
			await runOk('cat', files.slice(3, 19));
			await eventually('a window of 32, but for one', async () => (await cachedCount(files.slice(19, 51))) === 31);
			await runOk('cat', files.slice(19, 51));
			if (reads() === 5) return;
			throw new Error(`${reads()} READs, expected 5`);
		} catch (error) {
			if (attemptsLeft === 1) throw error;
			await stop();
		}
	}
});

test('files far from each other bring no others', async (t) => {
	const { root } = serve(t, await smallFiles(t, 4000));
	const files = await listed(root);
	const far = [0, 1500, 3000, 200, 1700, 3200, 400, 1900].map((index) => files[index]!);
	await runOk('cat', far);
	t.is(await cachedCount(files.filter((file) => !far.includes(file))), 0);
});
