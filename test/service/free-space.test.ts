import { statSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { treeDifferences, treeOfDirectory } from '../helpers/tree.ts';
import { eventually, noonmark, noonmarkJson, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'python3', 'fsfreeze');
const test = canRun ? anyTest.serial : anyTest.serial.skip;

interface StorageJson {
	readonly usedBytes: number;
	readonly freeSpaceKnown: boolean;
}

async function storageOf(volume: TestVolume): Promise<StorageJson> {
	return (await noonmarkJson<{ storage: StorageJson[] }>(['list', 'storage', volume.image])).storage[0]!;
}

const freeSpaceKnown = (volume: TestVolume) =>
	eventually('it is known which chunks are free', async () => (await storageOf(volume)).freeSpaceKnown);

/** 24 MiB in new files, 8 MiB appended to one that the copies have, and a transaction of the journal for each file. */
const GROW = `cd "$1"; for i in $(seq 24); do dd if=/dev/urandom of="$2-$i" bs=1M count=1 conv=fsync status=none; done
	dd if=/dev/urandom of=kept bs=1M count=8 oflag=append conv=notrunc,fsync status=none`;

test('new files, appends and the journal cost next to nothing, after a restart too; what was there is kept', async (t) => {
	t.timeout(120_000);
	const volume = new TestVolume(t, { sizeBytes: 128 << 20, mkfs: ['-t', 'ext4', '-b', '4096'] });
	await volume.mount('--max-size', 'unbounded');
	await shell(
		'cd "$1"; seq 200000 > kept; seq 500000 > victim; mkdir many; (cd many; seq 500 | xargs touch); sync -f .',
		[volume.data],
	);
	const copies = [await volume.create()];
	const trees = [await treeOfDirectory(copies[0]!.path)];
	await freeSpaceKnown(volume);
	const before = (await storageOf(volume)).usedBytes;
	await shell(GROW, [volume.data, 'first']);
	const grown = (await storageOf(volume)).usedBytes - before;
	t.log(`32 MiB written, ${grown} bytes preserved`);
	t.true(grown < 1 << 20);

	copies.push(await volume.create());
	trees.push(await treeOfDirectory(copies[1]!.path));
	await noonmarkOk(['unmount', volume.image]);
	await volume.mount('--max-size', 'unbounded');
	await freeSpaceKnown(volume);
	const afterRestart = (await storageOf(volume)).usedBytes;
	await shell(GROW, [volume.data, 'second']);
	t.true((await storageOf(volume)).usedBytes - afterRestart < 1 << 20);

	// What the copies have is kept: overwritten, deleted and written over, discarded.
	const beforeLoss = (await storageOf(volume)).usedBytes;
	await shell(
		`cd "$1"; dd if=/dev/urandom of=victim bs=1M count=3 conv=notrunc,fsync status=none
		rm -r kept many first-* second-*; sync -f .; fstrim . || true
		dd if=/dev/zero of=full bs=1M status=none || true; rm full; sync -f .`,
		[volume.data],
	);
	t.true((await storageOf(volume)).usedBytes - beforeLoss > statSync(join(copies[1]!.path, 'first-1')).size * 24);
	for (const [i, copy] of copies.entries()) {
		t.deepEqual(treeDifferences(await treeOfDirectory(copy.path), trees[i]!), [], copy.name);
	}
	await noonmarkOk(['unmount', volume.image]);
	const check = await run('e2fsck', ['-fn', volume.image]);
	t.is(check.code, 0, check.stdout.toString());
});

test('a copy whose file system nobody froze: its journal is kept, and what it has is read', async (t) => {
	t.timeout(120_000);
	const volume = new TestVolume(t, { sizeBytes: 128 << 20, mkfs: ['-t', 'ext4', '-b', '4096'] });
	// In use, as a virtual machine would: mounted from a copy of the disk, then copied back without an unmount.
	await shell(
		`mkdir "$1/work"; cp --sparse=always "$2" "$1/copy"; mount -o loop "$1/copy" "$1/work"
		trap 'umount "$1/work"' EXIT
		cd "$1/work"; seq 300000 > first; sync -f .; mkdir dir; for i in 1 2 3 4; do seq $i 90000 > dir/$i; sync -f .; done
		cp --sparse=always "$1/copy" "$2"; cd /`,
		[volume.directory, volume.image],
	);
	const { code, stderr } = await noonmark(['mount', volume.image, volume.mountpoint, '--max-size', 'unbounded']);
	t.is(code, 0, stderr);
	const copy = await volume.create();
	t.true(copy.attributes.includes('noWriters'));
	const tree = await treeOfDirectory(copy.path);
	t.true(tree.some(({ path }) => path === './dir/4' || path === 'dir/4'));
	await freeSpaceKnown(volume);
	await runOk('dd', [
		'if=/dev/urandom',
		`of=${volume.live}`,
		'bs=1M',
		'count=128',
		'conv=notrunc,fsync',
		'status=none',
	]);
	t.deepEqual(treeDifferences(await treeOfDirectory(copy.path), tree), []);
});
