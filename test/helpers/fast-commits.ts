/** Volumes that the kernel left with fast commits in their journal, as a power cut right after an fsync would. */
import { copyFileSync } from 'node:fs';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { run, runOk } from './run.ts';
import { type TreeEntry, treeOfDirectory } from './tree.ts';

/**
 * Changes of every kind that fast commits know, in random order; some files are synced on the way, and all at the end.
 * argv: the directory, a seed, the number of changes, whether there may be any or only those, and the size from which on
 * files are changed.
 */
const WORK = `
import os, random, sys
root, seed, steps, any_kind, smallest = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == 'any', int(sys.argv[5])
rng = random.Random(seed)
os.chdir(root)
files, dirs, count = [], ['.'], 0
for d, _, names in os.walk('.'):
    files += [os.path.join(d, n) for n in names if os.path.isfile(os.path.join(d, n)) and not os.path.islink(os.path.join(d, n))]
    if d != '.' and 'lost+found' not in d: dirs.append(d)
files.sort(); dirs.sort()
def name():
    global count
    count += 1
    return os.path.join(rng.choice(dirs), 'n%d-%d-%s' % (seed, count, 'x' * rng.choice([1, 8, 40, 100])))
def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
def write(path, at, size):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, rng.randbytes(size), at)
    if rng.random() < 0.5: os.fsync(fd)
    os.close(fd)
def create():
    path = name(); write(path, 0, rng.choice([0, 10, 5000, 70000])); files.append(path)
    return path
def some():
    path = rng.choice(files)
    return path if os.path.getsize(path) >= smallest else create()
def extend(): write(some(), rng.randrange(0, 40) * 4096 + rng.choice([0, 17]), rng.choice([1, 4096, 30000]))
def truncate(): os.truncate(some(), rng.choice([0, 1, 5000, 65536]))
def allocate():
    fd = os.open(some(), os.O_RDWR)
    os.posix_fallocate(fd, rng.randrange(0, 30) * 4096, 40960)
    os.close(fd)
def unlink():
    path = files.pop(rng.randrange(len(files))); os.unlink(path)
def rename():
    i = rng.randrange(len(files)); path = name(); os.rename(files[i], path); files[i] = path
def replace():
    i = rng.randrange(len(files)); j = rng.randrange(len(files))
    if not os.path.samefile(files[i], files[j]):
        os.rename(files[i], files[j]); files.pop(i)
def link():
    path = name(); os.link(rng.choice(files), path); files.append(path)
def symlink(): os.symlink('t' * rng.choice([3, 59, 60, 300]), name())
def node(): os.mkfifo(name()) if rng.random() < 0.5 else os.mknod(name(), 0o20600, os.makedev(rng.choice([7, 4093]), 300))
def mkdir():
    path = name(); os.mkdir(path); dirs.append(path)
    for _ in range(rng.randrange(3)):
        f = os.path.join(path, 'f%d' % rng.randrange(1000)); write(f, 0, 3000); files.append(f)
def rmdir():
    path = rng.choice(dirs)
    if path != '.' and not os.listdir(path): os.rmdir(path); dirs.remove(path)
def anonymous():
    fd = os.open(rng.choice(dirs), os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, rng.randbytes(6000))
    path = name(); os.link('/proc/self/fd/%d' % fd, path, src_dir_fd=fd); files.append(path)
    os.close(fd)
def attributes():
    path = rng.choice(files); os.chmod(path, rng.choice([0o600, 0o755])); os.chown(path, rng.randrange(99999), 5); os.utime(path, ns=(10**18, 10**18 + 7))
def work(steps, kinds):
    for _ in range(steps):
        step = rng.choice(kinds)
        if files or step in (create, mkdir): step()
logged = [create] * 3 + [extend] * 4 + [allocate, unlink, unlink, rename, replace, link, mkdir, rmdir, attributes, anonymous]
# What the kernel does not always log in a fast commit: the next commit is a transaction.
work(steps, logged + [truncate, symlink, node] if any_kind else logged)
for path in files: sync(path)
work(8, logged)
for path in files: sync(path)
create()
sync(files[-1])
`;

/**
 * Copies an image that is mounted. Where something is written to it meanwhile, as by anybody's sync(2), the copy is of no
 * moment at all: then it is copied again.
 */
export async function copyWhole(image: string, copy: string): Promise<void> {
	do copyFileSync(image, copy);
	while ((await run('cmp', ['--silent', image, copy])).code !== 0);
}

export interface CutVolume {
	/** As it was at the cut. */
	readonly image: string;
	/** What the kernel showed just before. */
	readonly tree: readonly TreeEntry[];
}

/** Mounts the image, works on it, and copies it as a power cut would have left it. */
export async function cutWithFastCommits(
	image: string,
	copy: string,
	{ seed, steps, smallestBytes }: { readonly seed: number; readonly steps: number; readonly smallestBytes: number },
): Promise<CutVolume> {
	return withKernelMount(image, 'noatime,commit=300', async (mountPoint) => {
		const work = (workSeed: number, count: number, kinds: 'any' | 'logged') => {
			const numbers = [workSeed, count, kinds, smallestBytes].map(String);
			return runOk('python3', ['-', mountPoint, ...numbers], { input: WORK });
		};
		await work(seed + 1, 60, 'any');
		await runOk('sync', ['-f', mountPoint]);
		await work(seed + 2, steps / 2, 'any');
		await work(seed + 3, steps / 2, 'logged');
		await copyWhole(image, copy);
		return { image: copy, tree: await treeOfDirectory(mountPoint) };
	});
}
