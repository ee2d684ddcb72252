/** Free space of volumes that say odd things of themselves. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import type { BlockDevice } from '../../src/block/device.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { descriptorPlace } from '../../src/ext/group-descriptors.ts';
import { groupDescriptorLayout, SUPERBLOCK_BYTE_OFFSET, superblockLayout } from '../../src/ext/layout.ts';
import type { Statfs } from '../../src/ext/statfs.ts';
import { DamagedImage } from '../helpers/damaged-image.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { statfsOfDirectory } from '../helpers/tree.ts';

const test = programs('mke2fs') ? anyTest : anyTest.skip;
const onKernel = canMount && programs('mke2fs') ? anyTest : anyTest.skip;
const BLOCK_BYTES = 1024;
const GROUPS = 2 ** 32 - 1;

/** A volume of 4 TiB with as many groups as a superblock can say, each of one block; every descriptor is sound. */
class EndlessGroups implements BlockDevice {
	readonly sizeBytes = BLOCK_BYTES * (GROUPS + 1);
	readonly #superblock: Buffer;
	readonly #descriptors = Buffer.alloc(BLOCK_BYTES);

	constructor(image: Buffer) {
		this.#superblock = Buffer.from(image.subarray(SUPERBLOCK_BYTE_OFFSET, 2 * SUPERBLOCK_BYTE_OFFSET));
		superblockLayout.encode(
			{
				...{ blockCountLow: 0, blockCountHigh: 1, blocksPerGroup: 1, clustersPerGroup: 1 },
				...{ inodeCount: GROUPS, inodesPerGroup: 1, inodeSizeBytes: BLOCK_BYTES, reservedDescriptorBlocks: 0 },
				...{ freeBlocksLow: 2, freeBlocksHigh: 1, freeInodes: 77, reservedBlocksLow: 0, overheadClusters: 99 },
			},
			this.#superblock,
		);
		for (let at = 0; at < BLOCK_BYTES; at += groupDescriptorLayout.sizeBytes)
			groupDescriptorLayout.encode({ inodeTableLow: 2, freeClustersLow: 1 }, this.#descriptors.subarray(at));
	}

	read(byteOffset: number, into: Uint8Array): void {
		for (let i = 0; i < into.length; i++) {
			const at = byteOffset + i;
			const isSuperblock = Math.floor(at / BLOCK_BYTES) === 1;
			into[i] = (isSuperblock ? this.#superblock : this.#descriptors)[at % BLOCK_BYTES]!;
		}
	}

	close(): void {}
}

test('where a volume says that it has 2^32 block groups, the counts of its superblock are told', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', String(BLOCK_BYTES), '-O', '64bit,^metadata_csum,^has_journal,^uninit_bg'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, mkfs);
	const fs = ExtFileSystem.open(new EndlessGroups(readFileSync(image)), { replayJournal: false });
	t.is(fs.superblock.groupCount, GROUPS);
	t.like(fs.statfs(), { blocks: 2 ** 32 - 99, freeBlocks: 2 ** 32 + 2, files: GROUPS, freeFiles: 77 });
});

type Change = Parameters<typeof superblockLayout.encode>[0];
const CHANGES: readonly (readonly [Change, string])[] = [
	[{ reservedBlocksHigh: 1 }, '64bit'],
	[{ reservedBlocksHigh: 1 }, '^64bit'],
	[{ reservedBlocksLow: 100_000 }, '64bit'],
	[{ reservedBlocksLow: 5000 }, '^extent,^64bit'],
	[{ overheadClusters: 77 }, '64bit'],
	[{ overheadClusters: 77 }, 'bigalloc'],
	[{ overheadClusters: 0xffffffff }, 'bigalloc'],
];

onKernel('free space of volumes whose superblocks were changed is what the kernel tells', async (t) => {
	for (const [change, features] of CHANGES) {
		const mkfs = ['-t', 'ext4', '-b', '1024', '-O', `^has_journal,${features}`];
		const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, mkfs);
		editImage(image, (editor) => editor.setSuperblock(change));
		const device = FileDevice.open(image, 'read');
		t.teardown(() => device.close());
		const told = await withKernelMount(image, 'ro', statfsOfDirectory);
		t.deepEqual(ExtFileSystem.open(device).statfs(), told as Statfs, `${JSON.stringify(change)} ${features}`);
	}
});

test('overhead counted anew: as mke2fs counted it, also where a bitmap is said to be past the end of numbers', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc,64bit,^metadata_csum', '-C', '4096'];
	const image = new DamagedImage(readFileSync(await makeImage(join(temporaryDirectory(t), 'image'), 64, mkfs)));
	const { superblock } = ExtFileSystem.open(image);
	t.true(superblock.overheadClusters > 0);
	image.patch(SUPERBLOCK_BYTE_OFFSET, superblockLayout.sizeBytes, (bytes) =>
		superblockLayout.encode({ overheadClusters: 0 }, bytes),
	);
	const clusters = () =>
		(superblock.blockCount - ExtFileSystem.open(image).statfs().blocks) / superblock.blocksPerCluster;
	t.is(clusters(), superblock.overheadClusters);
	const { block, byteInBlock } = descriptorPlace(superblock, 0);
	const at = block * superblock.blockSizeBytes + byteInBlock;
	image.patch(at, groupDescriptorLayout.sizeBytes, (bytes) =>
		groupDescriptorLayout.encode({ blockBitmapHigh: 0xffffffff }, bytes),
	);
	const missed = superblock.overheadClusters - clusters();
	t.true(missed === 0 || missed === 1, `${missed}`);
});
