/** Symbolic links, wherever their targets are kept, and parts of files, as the kernel reads them. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage, populateImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { inodeAt } from '../helpers/tree.ts';

const it = canMount && programs('mke2fs', 'debugfs', 'python3') ? test : test.skip;

const LENGTHS = [1, 58, 59, 60, 61, 155, 1024, 4095];
/** argv: the directory, and the lengths of targets. Each comes without attributes, with a small one and a large one. */
const MAKE_LINKS = `
import os, sys
os.chdir(sys.argv[1])
for length in map(int, sys.argv[2:]):
    for kind, size in [('plain', 0), ('small', 10), ('large', 700)]:
        name = '%s-%d' % (kind, length)
        os.symlink(('abcdefghi/' * 410)[:length], name)
        if size: os.setxattr(name, 'trusted.a', b'a' * size, follow_symlinks=False)
`;
/** argv: the directory. The targets of all links in it, by name; where there is none, the error. */
const READ_LINKS = `
import errno, json, os, sys
os.chdir(sys.argv[1])
def target(name):
    try: return os.readlink(name)
    except OSError as error: return errno.errorcode[error.errno]
print(json.dumps({name: target(name) for name in os.listdir('.') if name != 'lost+found'}))
`;

async function makeLinks(image: string): Promise<void> {
	await withKernelMount(image, 'noatime', (mountPoint) =>
		runOk('python3', ['-c', MAKE_LINKS, mountPoint, ...LENGTHS.map(String)]),
	);
}

async function kernelTargets(image: string): Promise<Record<string, string>> {
	return withKernelMount(image, 'ro', async (mountPoint) =>
		JSON.parse((await runOk('python3', ['-c', READ_LINKS, mountPoint])).toString()),
	);
}

function targetsIn(t: ExecutionContext, image: string, names: readonly string[]): Record<string, string> {
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	const fs = ExtFileSystem.open(device);
	const target = (name: string) => {
		try {
			return fs.readLink(inodeAt(fs, name)).toString();
		} catch (error) {
			if (error instanceof NoonmarkError && error.family === 'corrupt') return 'EUCLEAN';
			throw error;
		}
	};
	return Object.fromEntries(names.map((name) => [name, target(name)]));
}

const asTheKernelReads = test.macro(async (t, mkfs: readonly string[]) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, ['-t', 'ext4', '-b', '4096', ...mkfs]);
	await makeLinks(image);
	// With inline data debugfs puts into the inode what the kernel puts into a block.
	const made = LENGTHS.map((length) => `symlink debugfs-${length} ${'abcdefghi/'.repeat(410).slice(0, length)}\n`);
	const flagged = ['plain-1', 'small-58', 'large-59'].map((name) => `sif ${name} flags 0x80000\n`);
	await runOk('debugfs', ['-w', '-f', '-', image], { input: [...made, ...flagged].join('') });
	const expected = await kernelTargets(image);
	t.is(Object.keys(expected).length, 4 * LENGTHS.length);
	t.deepEqual(targetsIn(t, image, Object.keys(expected)), expected);
});
it('links', asTheKernelReads, []);
it('links: without extents', asTheKernelReads, ['-O', '^extent,^64bit']);
it('links: inline data', asTheKernelReads, ['-O', 'inline_data', '-I', '512']);
it('links: inline data and values in inodes', asTheKernelReads, ['-O', 'inline_data,ea_inode']);
it('links: clusters', asTheKernelReads, ['-O', 'bigalloc', '-C', '16384']);

/** What debugfs sets of a link; the flags of nodump and noatime are those that make no difference. */
const CHANGES = [
	'plain-58 size 30',
	'plain-59 size 58',
	'plain-1 size 2',
	'plain-155 size 100',
	'plain-1024 block[0] 0xf30a',
	'plain-4095 flags 0',
	'small-1 size 0',
	'small-58 size 59',
	'small-59 size 60',
	'small-60 size 59',
	'small-155 blocks 0',
	'large-1 flags 0xc0',
	'large-59 file_acl 0',
	'large-60 file_acl 0',
	'large-61 flags 0x800c0',
];

it('links that contradict themselves are refused where the kernel refuses them', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', '4096', '-O', '^metadata_csum'];
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, mkfs);
	await makeLinks(image);
	await runOk('debugfs', ['-w', '-f', '-', image], { input: CHANGES.map((change) => `sif ${change}\n`).join('') });
	const expected = await kernelTargets(image);
	t.is(Object.values(expected).filter((target) => target === 'EUCLEAN').length, 10);
	t.deepEqual(targetsIn(t, image, Object.keys(expected)), expected);
});

/** argv: the directory. Of each request `PATH OFFSET LENGTH`: a digest of what is read there, and where data and a hole are. */
const READ_RANGES = `
import errno, hashlib, os, sys
os.chdir(sys.argv[1])
def seek(fd, at, what):
    try: return os.lseek(fd, at, what)
    except OSError as error:
        if error.errno != errno.ENXIO: raise
        return -1
for line in sys.stdin:
    path, at, length = line.rsplit(' ', 2)
    fd = os.open(path, os.O_RDONLY)
    # Unwritten blocks that are cached count as data.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    data, hole = seek(fd, int(at), os.SEEK_DATA), seek(fd, int(at), os.SEEK_HOLE)
    content = os.pread(fd, int(length), int(at))
    print(len(content), hashlib.sha256(content).hexdigest(), data, hole)
    os.close(fd)
`;
const FILES = [
	...['0', '1', '60', '61', '130', '157', '1024', '1025', '4097', '70000'].map((name) => `sizes/${name}`),
	...['hole-then-data', 'data-then-hole', 'unwritten', 'beyond-size', 'punched', 'fragmented'].map(
		(name) => `sparse/${name}`,
	),
];

for (const features of ['inline_data', '^extent,^64bit']) {
	it(`parts of files are what the kernel reads: ${features}`, async (t) => {
		const mkfs = ['-t', 'ext4', '-b', '1024', '-O', features];
		const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, mkfs);
		await populateImage(image);
		// More than there is: the rest reads as zeros.
		await runOk('debugfs', ['-w', '-R', 'sif /sizes/130 size 1000', image]);
		const device = FileDevice.open(image, 'read');
		t.teardown(() => device.close());
		const fs = ExtFileSystem.open(device);
		const random = new Random(20261130);
		t.log(`seed ${random.seed}`);
		const requests = FILES.flatMap((path) => {
			const { sizeBytes } = inodeAt(fs, path);
			const edges = [0, sizeBytes - 1, sizeBytes, sizeBytes + 1, sizeBytes - 1024].filter((at) => at >= 0);
			const offsets = [...edges, ...Array.from({ length: 20 }, () => random.integer(Math.min(sizeBytes, 1e6) + 1))];
			return offsets.map((at) => ({ path, at, length: 1 + random.integer(random.pick([10, 3000, 100_000])) }));
		});
		const input = requests.map(({ path, at, length }) => `${path} ${at} ${length}\n`).join('');
		const output = await withKernelMount(image, 'ro', (mountPoint) =>
			runOk('python3', ['-c', READ_RANGES, mountPoint], { input }),
		);
		const expected = output.toString().trim().split('\n');
		const found = requests.map(({ path, at, length }) => {
			const file = inodeAt(fs, path);
			const into = Buffer.alloc(length, 0xaa);
			const count = fs.readFile(file, at, into);
			const digest = createHash('sha256').update(into.subarray(0, count)).digest('hex');
			return `${count} ${digest} ${fs.seek(file, at, 'data') ?? -1} ${fs.seek(file, at, 'hole') ?? -1}`;
		});
		const different = requests.flatMap((request, i) =>
			found[i] === expected[i] ? [] : [{ ...request, found: found[i], expected: expected[i] }],
		);
		t.deepEqual(different, []);
	});
}
