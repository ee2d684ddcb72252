/**
 * Kinds of ext file systems, each with what it must show. All hold the same population (populate.ts), made by the kernel.
 */
import { rename } from 'node:fs/promises';
import { run, runOk, shell } from '../test/helpers/run.ts';
import { populateEncrypted } from './encrypt.ts';
import { withKernelMount } from './kernel-mount.ts';
import { makeImage, populate } from './populate.ts';

export interface Recipe {
	readonly sizeMiB: number;
	readonly mkfs: readonly string[];
	/** Mount options while it is populated. */
	readonly mount?: string;
	/** The image is copied while it is mounted: its journal has to be replayed. */
	readonly isDirty?: true;
	/** More to do, while the image is mounted. */
	readonly whileMounted?: (mountPoint: string) => Promise<void>;
	/** More to do to the image afterwards. */
	readonly afterwards?: (image: string) => Promise<void>;
	/** `afterwards` packs directories anew: their sizes are not those of the reference. */
	readonly isRehashed?: true;
	/** The kernel here does not mount it: why. The tree is then compared with that of the image before `afterwards`. */
	readonly kernelCannot?: string;
}

const ext4 = (...features: string[]) => ['-t', 'ext4', ...(features.length > 0 ? ['-O', features.join(',')] : [])];
const blocks = (sizeBytes: number) => ['-b', String(sizeBytes)];

async function debugfs(image: string, request: string): Promise<void> {
	await runOk('debugfs', ['-w', '-R', request, image]);
}

/** Makes directories fold case, as `chattr +F` does to empty ones, and has e2fsck hash their names anew. */
async function foldCase(image: string, directories: readonly string[]): Promise<void> {
	const stats = (
		await runOk('debugfs', ['-f', '-', image], { input: directories.map((path) => `stat ${path}\n`).join('') })
	).toString();
	const flags = [...stats.matchAll(/Flags: (0x[0-9a-f]+)/g)].map(([, word]) => Number(word) + 0x40000000);
	const set = directories.map((path, i) => `sif ${path} flags ${flags[i]}\n`).join('');
	const input = `feature casefold\nssv encoding 1\n${set}`;
	await runOk('debugfs', ['-w', '-f', '-', image], { input });
	await rehash(image);
}

/** Has e2fsck index every directory anew, by another hash of the names where one is given. */
async function rehash(image: string, algorithm?: 'legacy' | 'half_md4' | 'tea'): Promise<void> {
	if (algorithm) await runOk('tune2fs', ['-E', `hash_alg=${algorithm}`, image]);
	// It ends with 1 where it changed something.
	const { code, stdout } = await run('e2fsck', ['-fyD', image]);
	if (code !== 0 && code !== 1) throw new Error(`e2fsck -fyD: exit ${code}\n${stdout}`);
}

const manyFiles = (count: number, nameBytes: number) => async (mountPoint: string) => {
	const script = `mkdir "$1/large"; cd "$1/large"; seq -f '%0${nameBytes}.0f' ${count} | xargs touch`;
	await shell(script, [mountPoint]);
};

/** 500 blocks of data with holes between them, half of them logged twice, and a file deleted whose blocks were logged. */
const busyJournal = async (mountPoint: string) => {
	await shell(
		`cd "$1"
		mkdir busy; for i in 1 2 3 4 5 6; do seq 1 3000 > busy/$i; sync -f .; done
		for i in 1 2 3; do seq 3000 6000 > busy/$i; setfattr -n user.round -v $i busy/$i; sync -f .; done
		rm -r busy/5 busy/6; mkdir busy/again; seq 100 > busy/again/file; mv busy/4 busy/moved; sync -f .
		python3 -c 'open("busy/escaped", "wb").write(bytes.fromhex("c03b3998") * 20000)'; sync -f .`,
		[mountPoint],
	);
};

export const matrix: Readonly<Record<string, Recipe>> = {
	'ext2, 1 KiB': { sizeMiB: 16, mkfs: ['-t', 'ext2', ...blocks(1024)] },
	'ext2, 2 KiB': { sizeMiB: 16, mkfs: ['-t', 'ext2', ...blocks(2048)] },
	'ext2, 4 KiB': { sizeMiB: 16, mkfs: ['-t', 'ext2', ...blocks(4096)] },
	'ext2, revision 0': { sizeMiB: 16, mkfs: ['-t', 'ext2', '-r', '0', ...blocks(1024)] },
	'ext2, no filetype': { sizeMiB: 16, mkfs: ['-t', 'ext2', '-O', '^filetype', ...blocks(1024)] },
	'ext2, no sparse_super': { sizeMiB: 24, mkfs: ['-t', 'ext2', '-O', '^sparse_super,^resize_inode', ...blocks(1024)] },
	'ext2, no dir_index': { sizeMiB: 16, mkfs: ['-t', 'ext2', '-O', '^dir_index'] },
	'ext2, Hurd': { sizeMiB: 16, mkfs: ['-t', 'ext2', '-o', 'hurd', '-I', '128'] },
	'ext2, inodes of 256 bytes': { sizeMiB: 16, mkfs: ['-t', 'ext2', '-I', '256'] },
	ext3: { sizeMiB: 16, mkfs: ['-t', 'ext3'] },
	'ext3, 1 KiB': { sizeMiB: 16, mkfs: ['-t', 'ext3', ...blocks(1024)] },
	'ext3, dirty': { sizeMiB: 16, mkfs: ['-t', 'ext3'], isDirty: true, whileMounted: busyJournal },
	'ext3, dirty, data journaled': {
		...{ sizeMiB: 24, mkfs: ['-t', 'ext3', ...blocks(1024), '-J', 'size=8'], mount: 'noatime,data=journal' },
		...{ isDirty: true, whileMounted: busyJournal },
	},
	ext4: { sizeMiB: 16, mkfs: ext4() },
	'ext4, 1 KiB': { sizeMiB: 16, mkfs: [...ext4(), ...blocks(1024)] },
	'ext4, 2 KiB': { sizeMiB: 16, mkfs: [...ext4(), ...blocks(2048)] },
	'ext4, no journal': { sizeMiB: 16, mkfs: ext4('^has_journal') },
	'ext4, inodes of 128 bytes': { sizeMiB: 16, mkfs: [...ext4('^metadata_csum'), '-I', '128'] },
	'ext4, inodes of 128 bytes with checksums': { sizeMiB: 16, mkfs: [...ext4(), '-I', '128'] },
	'ext4, inodes of 512 bytes': { sizeMiB: 16, mkfs: [...ext4(), '-I', '512'] },
	'ext4, inodes of 1 KiB': { sizeMiB: 16, mkfs: [...ext4(), ...blocks(1024), '-I', '1024'] },
	'ext4, no extents': { sizeMiB: 16, mkfs: ext4('^extent,^64bit') },
	'ext4, files with and without extents': {
		...{ sizeMiB: 16, mkfs: ext4('^extent,^64bit') },
		afterwards: async (image) => {
			await runOk('tune2fs', ['-O', 'extent', image]);
			const script = 'cp -r --preserve=all "$1/sparse" "$1/sizes" "$1/directories"';
			await withKernelMount(image, 'noatime', (mountPoint) => shell(script, [mountPoint]));
		},
	},
	'ext4, no checksums, 32 bits': { sizeMiB: 16, mkfs: ext4('^metadata_csum,^64bit') },
	'ext4, no checksums, 64 bits': { sizeMiB: 16, mkfs: ext4('^metadata_csum,64bit') },
	'ext4, checksums, 32 bits': { sizeMiB: 16, mkfs: ext4('metadata_csum,^64bit') },
	'ext4, uninit_bg': { sizeMiB: 32, mkfs: [...ext4('^metadata_csum,uninit_bg'), ...blocks(1024), '-g', '2048'] },
	'ext4, uninit_bg, 64 bits': { sizeMiB: 32, mkfs: [...ext4('^metadata_csum,uninit_bg,64bit'), ...blocks(1024)] },
	'ext4, checksum seed': {
		...{ sizeMiB: 16, mkfs: ext4('metadata_csum_seed') },
		afterwards: async (image) => void (await runOk('tune2fs', ['-U', '11111111-2222-3333-4444-555555555555', image])),
	},
	'ext4, descriptors of 128 bytes': { sizeMiB: 24, mkfs: [...ext4('64bit'), ...blocks(1024), '-E', 'desc_size=128'] },
	'ext4, no flex_bg': { sizeMiB: 32, mkfs: [...ext4('^flex_bg'), ...blocks(1024), '-g', '2048'] },
	'ext4, large flex groups': { sizeMiB: 48, mkfs: [...ext4(), ...blocks(1024), '-g', '1024', '-G', '16'] },
	'ext4, small groups': { sizeMiB: 48, mkfs: [...ext4(), ...blocks(1024), '-g', '256'] },
	'ext4, meta_bg': { sizeMiB: 48, mkfs: [...ext4('meta_bg,^resize_inode'), ...blocks(1024), '-g', '512'] },
	'ext4, meta_bg, 4 KiB': { sizeMiB: 32, mkfs: ext4('meta_bg,^resize_inode') },
	'ext4, meta_bg, 32 bits': {
		...{ sizeMiB: 48, mkfs: [...ext4('meta_bg,^resize_inode,^64bit,^metadata_csum'), ...blocks(1024), '-g', '256'] },
	},
	'ext4, sparse_super2': { sizeMiB: 48, mkfs: [...ext4('sparse_super2,^resize_inode'), ...blocks(1024), '-g', '1024'] },
	'ext4, sparse_super2 and meta_bg': {
		...{ sizeMiB: 48, mkfs: [...ext4('sparse_super2,meta_bg,^resize_inode'), ...blocks(1024), '-g', '512'] },
	},
	'ext4, no sparse_super': { sizeMiB: 32, mkfs: [...ext4('^sparse_super,^resize_inode'), ...blocks(1024)] },
	'ext4, bigalloc': { sizeMiB: 48, mkfs: [...ext4('bigalloc'), '-C', '16384'] },
	'ext4, bigalloc, 1 KiB': { sizeMiB: 32, mkfs: [...ext4('bigalloc'), ...blocks(1024), '-C', '8192'] },
	'ext4, bigalloc, meta_bg, 1 KiB': {
		...{ sizeMiB: 48, mkfs: [...ext4('bigalloc,meta_bg,^resize_inode'), ...blocks(1024), '-C', '4096', '-g', '1024'] },
	},
	'ext4, inline data': { sizeMiB: 16, mkfs: ext4('inline_data') },
	'ext4, inline data, inodes of 1 KiB': { sizeMiB: 24, mkfs: [...ext4('inline_data'), '-I', '1024'] },
	'ext4, inline data, 1 KiB': { sizeMiB: 16, mkfs: [...ext4('inline_data'), ...blocks(1024)] },
	'ext4, inline data, ea_inode': { sizeMiB: 16, mkfs: ext4('inline_data,ea_inode') },
	'ext4, ea_inode': {
		...{ sizeMiB: 48, mkfs: [...ext4('ea_inode'), '-J', 'size=16'] },
		whileMounted: async (mountPoint) => {
			const script = `import os, sys
for name in ['one', 'two']:
    path = sys.argv[1] + '/' + name
    open(path, 'w').close()
    for size in [5000, 20000, 65536]: os.setxattr(path, 'user.size-%d' % size, b'e' * size)
    os.setxattr(path, b'user.caf\\xc3\\xa9', b'f' * 9000)
    os.symlink('short', path + '-link')
    os.setxattr(path + '-link', 'trusted.large', b'g' * 9000, follow_symlinks=False)`;
			await runOk('python3', ['-c', script, mountPoint]);
		},
	},
	'ext4, large_dir': { sizeMiB: 24, mkfs: [...ext4('large_dir'), ...blocks(1024)], whileMounted: manyFiles(3000, 200) },
	'ext4, htree of two levels': { sizeMiB: 24, mkfs: [...ext4(), ...blocks(1024)], whileMounted: manyFiles(3000, 200) },
	'ext4, htree with TEA': { sizeMiB: 16, mkfs: ext4(), afterwards: (image) => rehash(image, 'tea') },
	'ext4, htree with the legacy hash': { sizeMiB: 16, mkfs: ext4(), afterwards: (image) => rehash(image, 'legacy') },
	'ext4, htree with unsigned characters': {
		...{ sizeMiB: 16, mkfs: ext4(), whileMounted: manyFiles(400, 40) },
		afterwards: async (image) => {
			await debugfs(image, 'ssv flags 2');
			await rehash(image, 'half_md4');
		},
	},
	'ext4, 1,200 subdirectories': {
		...{ sizeMiB: 24, mkfs: [...ext4(), ...blocks(1024)] },
		whileMounted: async (mountPoint) =>
			void (await shell('mkdir "$1/many"; cd "$1/many"; seq 1200 | xargs mkdir', [mountPoint])),
	},
	'ext4, quota and project': {
		...{ sizeMiB: 16, mkfs: ext4() },
		afterwards: async (image) => {
			await runOk('tune2fs', ['-O', 'quota,project', '-Q', 'usrquota,grpquota,prjquota', image]);
			await debugfs(image, 'sif /sizes/100 projid 4711');
		},
	},
	'ext4, mmp': { sizeMiB: 16, mkfs: ext4('mmp') },
	'ext4, orphan_file': { sizeMiB: 16, mkfs: ext4('orphan_file') },
	'ext4, stable_inodes': { sizeMiB: 16, mkfs: ext4('stable_inodes') },
	'ext4, encrypt': { sizeMiB: 16, mkfs: ext4('encrypt'), whileMounted: populateEncrypted },
	'ext4, encrypt, 1 KiB': { sizeMiB: 16, mkfs: [...ext4('encrypt'), ...blocks(1024)], whileMounted: populateEncrypted },
	'ext4, dirty': { sizeMiB: 24, mkfs: ext4(), isDirty: true, whileMounted: busyJournal },
	'ext4, dirty, 1 KiB': { sizeMiB: 24, mkfs: [...ext4(), ...blocks(1024)], isDirty: true, whileMounted: busyJournal },
	'ext4, dirty, data journaled': {
		...{ sizeMiB: 32, mkfs: [...ext4(), '-J', 'size=8'], mount: 'noatime,data=journal' },
		...{ isDirty: true, whileMounted: busyJournal },
	},
	'ext4, dirty, data journaled, no checksums': {
		...{ sizeMiB: 32, mkfs: [...ext4('^metadata_csum,^64bit'), '-J', 'size=8'], mount: 'noatime,data=journal' },
		...{ isDirty: true, whileMounted: busyJournal },
	},
	'ext4, dirty, asynchronous commits': {
		...{ sizeMiB: 24, mkfs: ext4(), mount: 'noatime,data=writeback,journal_async_commit' },
		...{ isDirty: true, whileMounted: busyJournal },
	},
	'ext4, dirty, checksums of version 1': {
		...{ sizeMiB: 24, mkfs: ext4('^metadata_csum'), mount: 'noatime,journal_checksum' },
		...{ isDirty: true, whileMounted: busyJournal },
	},
	'ext4, dirty, with a file deleted but open': {
		...{ sizeMiB: 24, mkfs: ext4('orphan_file'), isDirty: true },
		whileMounted: async (mountPoint) =>
			void (await shell('exec 3> "$1/deleted"; seq 5000 >&3; rm "$1/deleted"; sync -f "$1"', [mountPoint])),
	},
	'ext4, 9 TiB, dirty': {
		...{ sizeMiB: 9 << 20, mkfs: [...ext4('bigalloc,^resize_inode'), ...blocks(1024), '-C', '65536', '-N', '1100000'] },
		...{ isDirty: true, whileMounted: busyJournal },
	},
	'ext4, last fast commit made full': {
		...{ sizeMiB: 24, mkfs: ext4('fast_commit'), isDirty: true, whileMounted: busyJournal },
	},
	'ext4, verity': {
		...{ sizeMiB: 16, mkfs: ext4('verity'), kernelCannot: 'it is built without FS_VERITY, and opens no such file' },
		// The blocks past the end are where a Merkle tree would be.
		afterwards: (image) => debugfs(image, 'sif /sparse/beyond-size flags 0x180000'),
	},
	'ext4, blocks counted in blocks, links not counted': {
		...{ sizeMiB: 16, mkfs: ext4() },
		afterwards: async (image) => {
			await debugfs(image, 'sif /sizes/70000 flags 0xc0000');
			await debugfs(image, 'sif /directories links_count 1');
		},
	},
	'ext4, directories with holes': {
		...{ sizeMiB: 16, mkfs: [...ext4('^dir_index'), ...blocks(1024)] },
		afterwards: async (image) => {
			await debugfs(image, 'punch /directories/many 3 4');
			await debugfs(image, 'punch /directories/thinned 12 99');
		},
	},
	'ext4, flags of every kind': {
		...{ sizeMiB: 16, mkfs: ext4('^has_journal,verity') },
		afterwards: async (image) => {
			// All but compression, encryption, DAX, verity and those that say where the data is.
			for (const path of ['/sizes/1025', '/sizes/70000']) await debugfs(image, `sif ${path} flags 0x200ec0fb`);
			await debugfs(image, 'sif /directories flags 0x200b80c8');
		},
	},
	'ext4, shared_blocks': {
		...{ sizeMiB: 16, mkfs: ext4('^has_journal') },
		afterwards: async (image) => {
			await debugfs(image, 'feature shared_blocks');
			await debugfs(image, 'copy_inode /sizes/70000 /sizes/4097');
		},
	},
	'ext4, casefold': {
		...{ sizeMiB: 16, mkfs: ext4(), kernelCannot: 'it is built without UNICODE', isRehashed: true },
		afterwards: (image) => foldCase(image, ['/', '/directories', '/directories/many', '/sizes', '/links']),
	},
	'ext4, casefold, inline data': {
		...{ sizeMiB: 16, mkfs: ext4('inline_data'), kernelCannot: 'it is built without UNICODE', isRehashed: true },
		afterwards: (image) => foldCase(image, ['/directories', '/directories/many', '/sizes']),
	},
	'ext4, a read-only compatible feature of the future': {
		...{ sizeMiB: 16, mkfs: ext4('^has_journal') },
		afterwards: (image) => debugfs(image, 'ssv feature_ro_compat 0x4000046b'),
	},
	'ext4, a compatible feature of the future': {
		...{ sizeMiB: 16, mkfs: ext4() },
		afterwards: (image) => debugfs(image, 'ssv feature_compat 0x4000003c'),
	},
};

export interface BuiltImage {
	readonly path: string;
	/** The same content where the kernel mounts it; else `path` itself. */
	readonly reference: string;
}

/** Builds one image at `path`. */
export async function buildImage(name: string, path: string): Promise<BuiltImage> {
	const recipe = matrix[name]!;
	await makeImage(path, recipe.sizeMiB, recipe.mkfs);
	const mounted = `${path}.mounted`;
	await withKernelMount(path, recipe.mount ?? 'noatime', async (mountPoint) => {
		await populate(mountPoint);
		await recipe.whileMounted?.(mountPoint);
		// What the loop device was given so far, is in the file; the journal's blocks are, their final places need not be.
		if (recipe.isDirty) await shell('sync -f "$1"; cp --sparse=always "$2" "$3"', [mountPoint, path, mounted]);
	});
	if (recipe.isDirty) await rename(mounted, path);
	if (!recipe.kernelCannot) {
		await recipe.afterwards?.(path);
		return { path, reference: path };
	}
	const reference = `${path}.reference`;
	await runOk('cp', ['--sparse=always', path, reference]);
	await recipe.afterwards?.(path);
	return { path, reference };
}
