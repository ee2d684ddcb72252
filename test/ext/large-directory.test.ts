/** Looking a name up in a large directory reads a handful of blocks, however many names there are. */
import { join } from 'node:path';
import test from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import type { BlockDevice } from '../../src/block/device.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, listDirectory } from '../helpers/tree.ts';

/** `make test TESTS=build/test/ext/large-directory.test.js ENTRIES=1000000` takes minutes. */
const ENTRIES = Number(process.env.ENTRIES ?? 100_000);
/** Two files have all the names: inodes would take longer to make, and add nothing. */
const MAKE_NAMES = `
import os, sys
os.chdir(sys.argv[1])
os.mkdir('large')
for i in range(${ENTRIES}):
    if i % 50000 == 0:
        first = 'file-%d' % i
        open(first, 'w').close()
    os.link(first, 'large/%06d-%s' % (i, 'n' * 150))
`;
const nameOf = (index: number) => `${String(index).padStart(6, '0')}-${'n'.repeat(150)}`;

/** Counts what is read through it. */
class CountingDevice implements BlockDevice {
	readonly sizeBytes: number;
	readCount = 0;
	readonly #source: BlockDevice;

	constructor(source: BlockDevice) {
		this.#source = source;
		this.sizeBytes = source.sizeBytes;
	}

	read(byteOffset: number, into: Uint8Array): void {
		this.readCount++;
		this.#source.read(byteOffset, into);
	}

	close(): void {}
}

const it = canMount && programs('mke2fs', 'python3') ? test : test.skip;

it(`${ENTRIES.toLocaleString('en')} entries, indexed in three levels`, async (t) => {
	t.timeout(ENTRIES * 2);
	const image = join(temporaryDirectory(t), 'image');
	await makeImage(image, 60 + Math.ceil(ENTRIES / 4000), ['-t', 'ext4', '-b', '1024', '-O', 'large_dir,^has_journal']);
	await withKernelMount(image, 'noatime', async (mountPoint) => {
		await runOk('python3', ['-c', MAKE_NAMES, mountPoint], { timeoutMs: ENTRIES });
	});
	const file = FileDevice.open(image, 'read');
	t.teardown(() => file.close());
	const device = new CountingDevice(file);
	const fs = ExtFileSystem.open(device);
	const large = inodeAt(fs, 'large');
	t.is(indexLevels(fs, large.number), 2);
	const listed = listDirectory(fs, large);
	t.is(new Set(listed.map(([name]) => name)).size, ENTRIES + 2);

	const random = new Random(20261125);
	t.log(`seed ${random.seed}`);
	let most = 0;
	for (let i = 0; i < 60; i++) {
		const cold = ExtFileSystem.open(device);
		const directory = inodeAt(cold, 'large');
		const index = random.integer(ENTRIES);
		device.readCount = 0;
		t.is(
			cold.lookup(directory, Buffer.from(nameOf(index))),
			inodeAt(cold, `file-${Math.floor(index / 50_000) * 50_000}`).number,
		);
		t.is(cold.lookup(directory, Buffer.from(nameOf(ENTRIES + index))), undefined);
		most = Math.max(most, device.readCount);
	}
	// Twice three levels of index and a leaf, and the nodes of the extent tree on the way to each of them.
	t.log(`at most ${most} reads for a name that is there and one that is not`);
	t.true(most <= 16, `${most} reads`);
});

function indexLevels(fs: ExtFileSystem, inodeNumber: number): number {
	const { block } = fs.files.runAt(fs.readInode(inodeNumber), 0);
	return fs.blocks.metadata(block, 'htree root', inodeNumber)[0x1e]!;
}
