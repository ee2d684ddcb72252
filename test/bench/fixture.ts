import { join } from 'node:path';
import { runOk, shell } from '../helpers/run.ts';
import { withMount } from './peers.ts';
import type { Workshop } from './workshop.ts';

export interface Sizes {
	readonly directories: number;
	/** Of 4 KiB, spread over the directories. */
	readonly files: number;
	/** Empty ones, in one directory. */
	readonly hugeDirectoryFiles: number;
	readonly bigFileMib: number;
	/** How long fio reads. */
	readonly fioSeconds: number;
	/** Of the state with many copies. */
	readonly copies: number;
}

export const FULL: Sizes = {
	directories: 200,
	files: 20_000,
	hugeDirectoryFiles: 100_000,
	bigFileMib: 1024,
	fioSeconds: 3,
	copies: 100,
};

export const QUICK: Sizes = {
	directories: 20,
	files: 2000,
	hugeDirectoryFiles: 5000,
	bigFileMib: 64,
	fioSeconds: 1,
	copies: 10,
};

const POPULATE = `
import os, sys
root, directories, files, huge, mib = sys.argv[1], *map(int, sys.argv[2:])
block = os.urandom(1 << 20)
for d in range(directories):
    os.makedirs(f'{root}/tree/{d}')
    for f in range(files // directories):
        with open(f'{root}/tree/{d}/file-{f}', 'wb') as out: out.write(block[f:f + 4096])
os.mkdir(f'{root}/huge')
for f in range(huge):
    open(f'{root}/huge/file-{f}', 'wb').close()
with open(f'{root}/big', 'wb') as out:
    for i in range(mib): out.write(block)
`;

/** What npm installed for this project: a tree of source text that is there anyway. */
export const NODE_MODULES = join(import.meta.dirname, '..', '..', '..', 'node_modules');

/**
 * Makes an ext4 image that holds `tree`, `huge`, `big`, and in `source` what npm installed for this project, without the
 * programs: a tree of source text.
 */
export async function buildImage(workshop: Workshop, image: string, sizes: Sizes): Promise<void> {
	await shell('truncate -s 4G "$1"; mke2fs -q -t ext4 -E lazy_itable_init=0 "$1"', [image]);
	const counts = [sizes.directories, sizes.files, sizes.hugeDirectoryFiles, sizes.bigFileMib].map(String);
	await withMount(workshop, image, 'rw', async (root) => {
		await runOk('python3', ['-c', POPULATE, root, ...counts], { timeoutMs: 300_000 });
		await shell('rsync -a --max-size=1M --exclude=.bin "$1/" "$2/source/"', [NODE_MODULES, root]);
	});
	await shell('sync "$1"', [image], { timeoutMs: 300_000 });
}

/**
 * Rewrites a share of the chunks that hold something, chosen at random, with what they hold: they are preserved, and the
 * content stays the same for everybody.
 */
export async function rewriteChunks(live: string, image: string, share: number, seed: number): Promise<void> {
	await runOk('python3', ['-c', REWRITE, live, image, String(share), String(seed)], { timeoutMs: 300_000 });
}

const REWRITE = `
import os, random, sys
live, image, share, seed = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
chunk = 16384
used = []
with open(image, 'rb') as disk:
    end, at = os.fstat(disk.fileno()).st_size, 0
    while at < end:
        try: at = os.lseek(disk.fileno(), at, os.SEEK_DATA)
        except OSError: break
        hole = os.lseek(disk.fileno(), at, os.SEEK_HOLE)
        used += range(at // chunk, (hole + chunk - 1) // chunk)
        at = hole
random.seed(seed)
with open(live, 'r+b', buffering=0) as disk:
    for i in sorted(random.sample(used, int(len(used) * share))):
        data = os.pread(disk.fileno(), chunk, i * chunk)
        os.pwrite(disk.fileno(), data, i * chunk)
    os.fsync(disk.fileno())
`;
