/**
 * Copies that are taken while the file system is written hard, and not frozen: each is what a power cut would have left,
 * and a consistent tree once its journal is replayed.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { readSuperblock } from '../../src/ext/filesystem.ts';
import { journalState } from '../../src/ext/journal.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk } from '../helpers/run.ts';
import { renumbered, type TreeEntry, treeDifferences, treeOfDirectory } from '../helpers/tree.ts';
import { eventually, noonmarkJson, noonmarkOk, type ShadowCopyJson, TestVolume } from '../helpers/volume.ts';
import { forEachStoredCopy } from './stored-copy.ts';

const canRun = canMount && programs('mke2fs', 'e2fsck', 'python3', 'sha256sum');
const test = canRun ? anyTest : anyTest.skip;

const COPIES = Number(process.env.COPIES ?? 4);
const SEED = Number(process.env.SEED ?? 20261125);
const PER_MOUNT = 10;
const WRITERS = 3;
const IMAGE_BYTES = 64 << 20;

/** argv: directory, seed, a file that says "go on". A file named whole-DIGEST was synced before it got its name. */
const WRITER = `
import hashlib, os, random, shutil, sys
root, seed, go_on = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
home = os.path.join(root, 'writer%d' % seed)
os.makedirs(home, exist_ok=True)
os.chdir(home)
def whole():
    data = rng.randbytes(rng.choice([100, 5000, 60000]))
    with open('new', 'wb') as f:
        f.write(data); f.flush(); os.fsync(f.fileno())
    os.rename('new', 'whole-' + hashlib.sha256(data).hexdigest())
def scribble():
    fd = os.open('scribble%d' % rng.randrange(6), os.O_RDWR | os.O_CREAT, 0o644)
    for _ in range(20): os.pwrite(fd, rng.randbytes(rng.choice([1, 4096, 9000])), rng.randrange(300000))
    if rng.random() < 0.3: os.ftruncate(fd, rng.randrange(200000))
    if rng.random() < 0.5: os.fsync(fd)
    os.setxattr(fd, 'user.round', rng.randbytes(rng.choice([4, 500])))
    os.close(fd)
def tree():
    d = 'tree%d' % rng.randrange(4)
    if os.path.isdir(d): shutil.rmtree(d)
    else:
        os.makedirs(d + '/a/b')
        for i in range(rng.randrange(60)): open('%s/a/%d' % (d, i), 'w').write('x' * i * 50)
        os.symlink('y' * rng.choice([10, 200]), d + '/link'); os.link(d + '/link', d + '/a/b/link')
def forget():
    for name in os.listdir('.'):
        if name.startswith('whole-') and rng.random() < 0.2: os.unlink(name)
while os.path.exists(go_on):
    try: rng.choice([whole, whole, scribble, tree, forget])()
    except OSError as e:
        if e.errno != 28: raise
        for name in os.listdir('.'): (shutil.rmtree if os.path.isdir(name) else os.unlink)(name)
`;

/** What a copy showed, by its name. */
type Seen = Map<string, readonly TreeEntry[]>;

async function makeCopies(t: ExecutionContext, volume: TestVolume, count: number, random: Random): Promise<Seen> {
	const goOn = join(volume.directory, 'go-on');
	writeFileSync(goOn, '');
	const writers = Array.from({ length: WRITERS }, (_, i) =>
		runOk('python3', ['-', volume.data, String(random.seed + i), goOn], { input: WRITER, timeoutMs: 300_000 }),
	);
	for (const writer of writers) writer.catch(() => rmSync(goOn, { force: true }));
	const seen: Seen = new Map();
	const hasSynced = async () =>
		(await run('find', [volume.data, '-name', 'whole-*', '-print', '-quit'])).stdout.length > 0;
	try {
		await eventually('something is in the journal', hasSynced);
		for (let i = 0; i < count; i++) {
			await delay(200 + random.integer(800)); // a part of the load, not a condition
			const { shadowCopies } = await noonmarkJson<{ shadowCopies: ShadowCopyJson[] }>([
				...['create', volume.image, '--no-writers'],
			]);
			const { name, path, state, attributes } = shadowCopies[0]!;
			t.is(state, 'created');
			t.true(attributes.includes('noWriters'));
			await checkWhole(t, path);
			seen.set(name, await treeOfDirectory(path));
		}
	} finally {
		rmSync(goOn, { force: true });
		await Promise.allSettled(writers);
	}
	await Promise.all(writers);
	return seen;
}

/** What was synced and then named is complete. */
async function checkWhole(t: ExecutionContext, path: string): Promise<void> {
	const listing = await runOk('find', [path, '-name', 'whole-*', '-exec', 'sha256sum', '{}', '+']);
	const lines = listing.toString().trim().split('\n').filter(Boolean);
	t.deepEqual(
		lines.filter((line) => !line.endsWith(line.slice(0, 64))),
		[],
	);
}

/** Blocks of a file that was being shortened are given back when the kernel mounts it for writing. */
const comparable = (tree: readonly TreeEntry[]) => renumbered(tree).map((entry) => ({ ...entry, blocks512: 0 }));

function journalStateOf(file: string): string {
	const device = FileDevice.open(file, 'read');
	try {
		return journalState(device, readSuperblock(device)).kind;
	} finally {
		device.close();
	}
}

/** The copy, replayed by e2fsck, has nothing to be repaired, and the kernel shows the same tree. */
async function checkStored(t: ExecutionContext, file: string, name: string, tree: readonly TreeEntry[]): Promise<void> {
	t.is(journalStateOf(file), 'needs-replay', name);
	const preen = await run('e2fsck', ['-p', file]);
	t.true(preen.code! <= 1, `${name}: ${preen.stdout}`);
	const check = await run('e2fsck', ['-fn', file]);
	t.is(check.code, 0, `${name}: ${check.stdout}`);
	const kernel = await withKernelMount(file, 'ro,noatime', treeOfDirectory);
	t.deepEqual(treeDifferences(comparable(tree), comparable(kernel)), [], name);
	t.true(tree.length > 10, name);
}

test('copies of a volume that is written and not frozen are consistent', async (t) => {
	t.timeout(60_000 + COPIES * 30_000);
	t.log(`seed ${SEED}`);
	const random = new Random(SEED);
	let count = 0;
	while (count < COPIES) {
		const volume = new TestVolume(t, { sizeBytes: IMAGE_BYTES });
		await volume.mount('--max-size', 'unbounded');
		const seen = await makeCopies(t, volume, Math.min(PER_MOUNT, COPIES - count), random);
		await noonmarkOk(['unmount', volume.image]);
		const file = join(volume.directory, 'copy');
		await forEachStoredCopy({ image: volume.image, storage: volume.storage, file }, async ({ name }) => {
			await checkStored(t, file, name, seen.get(name)!);
			count++;
		});
		t.log(`${count} copies`);
	}
});
