/**
 * However a copy is read, it is what the kernel showed when it was made: by the paths that are fast (listings with
 * attributes, content that was stored ahead, requests that span many extents and preserved chunks), and by those that
 * defeat them (names without a listing, a byte at a time, odd offsets, O_DIRECT, which asks for just these bytes, mmap).
 */
import anyTest from 'ava';
import { populate } from '../../images/populate.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'setfattr', 'fallocate', 'python3') ? anyTest : anyTest.skip;

/** Besides what `populate` makes: a file in one piece, one that was written in turns with another, and many small ones. */
const FILL = `
import os, random, sys
root, seed = sys.argv[1], sys.argv[2]
random.seed(seed)
os.mkdir(root + '/more')
with open(root + '/more/large', 'wb') as large: large.write(random.randbytes(6_000_001))
with open(root + '/more/a', 'wb', 0) as a, open(root + '/more/b', 'wb', 0) as b:
    for i in range(200):
        for file in (a, b):
            file.write(random.randbytes(random.choice([1000, 4096, 9000])))
            if i % 10 == 0: os.fsync(file.fileno())
for i in range(300):
    with open(root + '/more/small-%d' % i, 'wb') as small: small.write(random.randbytes(random.choice([20, 100, 700, 5000])))
`;

/** Overwrites pieces of files at random, and makes, removes and renames some, so that much of the copies is preserved. */
const CHANGE = `
import os, random, sys
root, seed = sys.argv[1], sys.argv[2]
random.seed(seed)
for directory, _, names in os.walk(root):
    for name in sorted(names):
        path = os.path.join(directory, name)
        if os.path.islink(path) or not os.path.isfile(path): continue
        size = os.path.getsize(path)
        if random.random() < 0.1: os.unlink(path)
        elif random.random() < 0.1: os.rename(path, path[:250] + '+')
        elif random.random() < 0.6:
            with open(path, 'r+b') as file:
                for _ in range(1 + min(size, 1 << 24) // 20000):
                    file.seek(random.randrange(min(size, 1 << 24) + 1))
                    file.write(random.randbytes(random.choice([1, 100, 5000])))
`;

/**
 * Prints a line for each name: its attributes, and a checksum of its content, read in one of the ways. `paths` are read by
 * their names alone, in a random order; without them the tree is listed.
 */
const READ = `
import hashlib, json, mmap, os, random, stat, sys
os.chdir(sys.argv[1])
way, seed = sys.argv[2], sys.argv[3]
paths = json.load(sys.stdin)
random.seed(seed)
LARGE = 1 << 24

def cuts(size):
    """Where a piece ends and the next begins."""
    if 'borders' in way: return {b + d for b in range(0, size + 4097, 4096) for d in (-1, 0, 1)}
    if 'odd' in way: return {random.randrange(size + 1) for _ in range(size // 2000 + 2)}
    if 'bytes' in way: return set(range(min(size, 170))) | set(range(170, size, 65_537))
    return set(range(0, size, 1 << 20))

def content(path, size):
    fd = os.open(path, os.O_RDONLY | (os.O_DIRECT if 'direct' in way else 0))
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if 'random' in way: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        if 'mmap' in way: return mmap.mmap(fd, size, prot=mmap.PROT_READ)[:] if size else b''
        ends = sorted({at for at in cuts(size) if 0 < at < size} | {size})
        pieces = list(zip([0] + ends, ends))
        if 'shuffled' in way: random.shuffle(pieces)
        # One byte more is asked for at the end of the file, where there is none.
        found = {start: os.pread(fd, end - start + (end == size), start) for start, end in pieces}
        return b''.join(found[start] for start in sorted(found))
    finally: os.close(fd)

def describe(path):
    s = os.lstat(path)
    of = [stat.filemode(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_blocks, s.st_rdev, s.st_mtime_ns, s.st_ctime_ns]
    if stat.S_ISLNK(s.st_mode): of += [os.readlink(path) for _ in range(2)]
    if stat.S_ISREG(s.st_mode) and s.st_size <= LARGE: of.append(hashlib.sha256(content(path, s.st_size)).hexdigest())
    return of

def listed(directory):
    for entry in os.scandir(directory):
        yield os.path.relpath(entry.path, '.')
        if entry.is_dir(follow_symlinks=False): yield from listed(entry.path)

if paths: random.shuffle(paths)
print(json.dumps({path: describe(path) for path in paths or listed('.')}, sort_keys=True))
`;

type Tree = Record<string, unknown>;

async function read(root: string, way: string, seed: number, paths: readonly string[] = []): Promise<Tree> {
	const args = ['-c', READ, root, way, String(seed)];
	return JSON.parse(String(await runOk('python3', args, { input: JSON.stringify(paths) })));
}

const WAYS = ['listed, in large pieces', 'listed, mmap', 'listed, direct, bytes', 'listed, borders, random, shuffled'];

const FORMATS = {
	'ext4, small files in the inode': ['-t', 'ext4', '-O', 'inline_data'],
	'ext3, blocks of 1 KiB': ['-t', 'ext3', '-b', '1024'],
};

for (const [title, mkfs] of Object.entries(FORMATS)) {
	test(`${title}: the same, whichever way a copy is read`, async (t) => {
		const random = new Random(20261125);
		t.log(`seed ${random.seed}`);
		const volume = new TestVolume(t, { mkfs, sizeBytes: 96 << 20 });
		await volume.mount('--max-size', 'unbounded');
		await populate(volume.data);
		await runOk('python3', ['-c', FILL, volume.data, String(random.seed)]);
		const flush = () => shell('sync -f "$1"', [volume.data]);
		await flush(); // what is not allocated yet has no blocks to count
		const expected = await read(volume.data, 'listed, in large pieces', random.seed);
		const paths = Object.keys(expected);
		t.true(paths.length > 800, `${paths.length}`);
		const copies = [await volume.create(), await volume.create()];
		await runOk('python3', ['-c', CHANGE, volume.data, String(random.seed)]);
		await flush();
		for (const [i, { path }] of copies.entries()) {
			// What the kernel knows of a copy it does not ask for again: so first the names alone.
			t.deepEqual(await read(path, 'direct, odd, shuffled', random.seed, paths), expected, 'names alone');
			for (const way of i === 0 ? WAYS : WAYS.slice(0, 1))
				t.deepEqual(await read(path, way, random.seed), expected, way);
		}
	});
}
