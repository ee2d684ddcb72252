/** Fields of inodes at the ends of their ranges, as the kernel shows them. */
import { join } from 'node:path';
import test from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt, treeDifferences, treeOfDirectory, treeOfFileSystem } from '../helpers/tree.ts';

const it = canMount && programs('mke2fs', 'debugfs', 'python3') ? test : test.skip;

/** Fields as debugfs names them. In the words with `_extra`, the two lowest bits are epochs of 2^32 s, the rest nanoseconds. */
const TIMES = [0, 0x7fffffff, 0x80000000, 0xffffffff].flatMap((seconds) =>
	[0, 1, 2, 3, 999_999_999 * 4 + 3].map((extra) => ({
		mtime: seconds,
		mtime_extra: extra,
		crtime: seconds,
		crtime_extra: extra,
	})),
);
/** What is behind the end of the fields means nothing. */
const ENDS = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 128].map((extra_isize) => ({
	...{ extra_isize, ctime_extra: 4 * 1001 + 1, mtime_extra: 4 * 1002 + 1, atime_extra: 4 * 1003 + 1 },
	...{ crtime: 1_000_000_000, crtime_extra: 4 * 1004 + 1 },
}));
/** The old form of device numbers in the first word of the map's place, the new one in the second. */
const DEVICES = [
	[0x0107, 0],
	[0xffff, 0xffffffff],
	[0x10000, 0x12345678],
	[0, 0xffffffff],
	[0, 0x00100000],
	[0, 0x000fff00],
	[0, 0],
].map(([first, second]) => ({ mode: 0o60644, 'block[0]': first!, 'block[1]': second! }));
const OTHERS = [
	{ uid: 0xffff, uid_high: 0xffff, gid: 1, gid_high: 0x8000 },
	{ blocks: 0xffffffff, blocks_hi: 0xffff },
	{ blocks: 3, blocks_hi: 1, flags: 0x40000 },
	{ links_count: 0xffff },
];

for (const features of ['huge_file,metadata_csum', '^huge_file,^metadata_csum']) {
	it(`inodes as the kernel shows them: ${features}`, async (t) => {
		const mkfs = ['-t', 'ext4', '-b', '1024', '-I', '256', '-O', `${features},^extent,^64bit`];
		const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, mkfs);
		const inodes = [...TIMES, ...ENDS, ...DEVICES, ...OTHERS];
		await withKernelMount(image, 'noatime', (mountPoint) =>
			shell('cd "$1"; for i in $(seq 0 "$2"); do >$i; done', [mountPoint, String(inodes.length - 1)]),
		);
		const requests = inodes.flatMap((fields, i) =>
			Object.entries(fields).map(([name, value]) => `sif ${i} ${name} ${name.endsWith('time') ? '@' : ''}${value}\n`),
		);
		await runOk('debugfs', ['-w', '-f', '-', image], { input: requests.join('') });
		const device = FileDevice.open(image, 'read');
		t.teardown(() => device.close());
		const fs = ExtFileSystem.open(device);
		const births = inodes.map((_, i) => {
			const { sec, nsec } = inodeAt(fs, String(i)).birthtime ?? { sec: 0, nsec: 0 };
			return `${sec}.${String(nsec).padStart(9, '0')}`;
		});
		await withKernelMount(image, 'ro', async (mountPoint) => {
			t.deepEqual(treeDifferences(treeOfFileSystem(fs), await treeOfDirectory(mountPoint)), []);
			const script = 'cd "$1"; seq 0 "$2" | xargs stat -c %.9W';
			const shown = (await shell(script, [mountPoint, String(inodes.length - 1)])).toString().trim().split('\n');
			t.deepEqual(births, shown);
		});
	});
}
