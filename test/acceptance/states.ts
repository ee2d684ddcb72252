/**
 * The states that a volume goes through while shadow copies of it are taken. All from one seed: the same seed makes the
 * same states. Everything happens in Python, in one process a step, so that a step takes seconds.
 */
import { join } from 'node:path';
import { populate } from '../../images/populate.ts';
import { run, runOk } from '../helpers/run.ts';

const TIMEOUT_MS = 120_000;

/** Writes the first state: one of each thing that ext can keep, then many of the common ones. */
export async function writeFirstState(directory: string, seed: number): Promise<void> {
	const everyKind = join(directory, 'every-kind');
	await runOk('mkdir', [everyKind]);
	await populate(everyKind);
	await python([TOOLS, FIRST_STATE], [directory, String(seed)]);
	await runOk('setfacl', ['-R', '-m', 'u:1000:rwX,g:70000:r,d:u:3000000000:rX', join(directory, 'tree/directory-1')]);
}

/** Overwrites, patches, grows, cuts, moves, links and deletes a good part of what is there; adds some. */
export const changeState = (directory: string, seed: number) =>
	python([TOOLS, CHANGE_STATE], [directory, String(seed)]);

/** Overwrites every byte of every file in place, then deletes everything. */
export const wipe = (directory: string) => python([TOOLS, WIPE], [directory, '0']);

/** Fills the file system to the last block; returns what dd said when there was no more room. */
export async function fillUp(directory: string): Promise<string> {
	const dd = ['if=/dev/urandom', `of=${join(directory, 'fill')}`, 'bs=1M'];
	const { stderr } = await run('dd', dd, { timeoutMs: TIMEOUT_MS, env: { ...process.env, LC_ALL: 'C' } });
	await runOk('sync', ['--file-system', directory], { timeoutMs: TIMEOUT_MS });
	return stderr;
}

const python = (parts: readonly string[], args: readonly string[]) =>
	runOk('python3', ['-c', parts.join('\n'), ...args], { timeoutMs: TIMEOUT_MS });

const TOOLS = `
import errno, os, random, shutil, stat, struct, subprocess, sys
os.chdir(os.fsencode(sys.argv[1]))
rng = random.Random(int(sys.argv[2]))
SIZES = [0, 1, 100, 4095, 4096, 4097, 10000, 102400]
def any_size(): return rng.choices(SIZES, [1, 1, 6, 2, 2, 2, 4, 1])[0]
def write(path, size):
    with open(path, 'wb') as file: file.write(rng.randbytes(size))
def patch(path, at, size):
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, rng.randbytes(size), at)
    os.close(fd)
def fallocate(path, *options): subprocess.run([b'fallocate', *options, path], stderr=subprocess.DEVNULL)
def islands(path, count):
    for _ in range(count): patch(path, rng.randrange(3 << 30), rng.choice([1, 4096, 70000]))
def set_times(path):
    times = [rng.randrange(-2147483648 * 10**9, 2**63 - 1) for _ in range(2)]
    os.utime(path, ns=tuple(times), follow_symlinks=False)
def set_xattr(path):
    name = rng.choice(['user.a', 'user.b', 'trusted.noonmark', 'security.noonmark'])
    try: os.setxattr(path, name, rng.randbytes(rng.choice([0, 1, 30, 300, 2000])), follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSPC, errno.EOPNOTSUPP): raise
def entries(top):
    """All that is there but directories, and the directories, in the same order every time."""
    found, directories = [], []
    for directory, below, names in os.walk(top):
        below.sort()
        directories.append(directory)
        found += [os.path.join(directory, name) for name in sorted(names + [b for b in below if
            os.path.islink(os.path.join(directory, b))])]
    return found, directories
new_names = 0
def new_name(directory):
    global new_names
    new_names += 1
    raw = b'new-%d-%d-' % (int(sys.argv[2]), new_names)
    return os.path.join(directory, rng.choice([raw, raw + b'\\xe9', raw + b' x' * 30]))
def is_regular(path): return stat.S_ISREG(os.lstat(path).st_mode)
`;

const FIRST_STATE = `
directories = [b'tree']
os.mkdir(b'tree')
for i in range(1, 150):
    directory = os.path.join(rng.choice(directories[-20:]), b'directory-%d' % i) if i > 1 else b'tree/directory-1'
    os.mkdir(directory)
    directories.append(directory)
for i in range(4000):
    path = os.path.join(rng.choice(directories), b'file-%d' % i)
    write(path, any_size())
    if i % 10 == 0: os.chown(path, rng.randrange(65536, 2**32 - 1), rng.randrange(65536, 2**32 - 1))
    if i % 11 == 0: set_times(path)
    if i % 12 == 0: set_xattr(path)
    if i % 100 == 0: os.chmod(path, rng.choice([0o4755, 0o2755, 0o0000, 0o7777, 0o600]))
for i in range(6): write(b'tree/large-%d' % i, rng.randrange(2 << 20, 7 << 20))
for name in [b'n' * 255, b'\\xe9t\\xe9', b'\\xe9' * 255]: write(b'tree/' + name, 5000)
os.mkdir(b'many')
write(b'many/first', 10)
for i in range(30000):
    if i % 3: os.mknod(b'many/entry-%d' % i, 0o644 | stat.S_IFREG)
    else: os.link(b'many/first', b'many/entry-%d' % i)
os.mkdir(b'links')
write(b'links/linked', 9000)
for i in range(9): os.link(b'links/linked', b'links/linked-%d' % i)
write(b'sparse-islands', 0)
os.truncate(b'sparse-islands', 3 << 30)
islands(b'sparse-islands', 12)
write(b'unwritten', 10000)
fallocate(b'unwritten', b'-l', b'3000000')
patch(b'unwritten', 1000000, 70000)
write(b'capable', 100)
os.setxattr(b'capable', 'security.capability', struct.pack('<5I', 0x02000001, 1 << 10, 0, 0, 0))
os.sync()
`;

const CHANGE_STATE = `
files, directories = entries(b'.')
files = [path for path in files if not path.startswith((b'./many/', b'./sparse-'))]
directories = [path for path in directories if not path.startswith((b'./many', b'./lost+found'))]
def overwrite(path): write(path, min(os.path.getsize(path), 1 << 20) or any_size())
def patch_inside(path): patch(path, rng.randrange(os.path.getsize(path) + 1), rng.choice([1, 500, 5000]))
def replace(path): os.replace(path, new_name(rng.choice(directories)))
CONTENT = [overwrite, patch_inside, lambda path: os.truncate(path, rng.randrange(200000)),
    lambda path: patch(path, os.path.getsize(path), any_size()),
    lambda path: fallocate(path, b'-p', b'-o', b'4096', b'-l', b'50000'),
    lambda path: fallocate(path, b'-c', b'-o', b'4096', b'-l', b'4096')]
ANY = [replace, os.unlink, os.unlink, set_times, set_xattr,
    lambda path: os.link(path, new_name(rng.choice(directories)), follow_symlinks=False),
    lambda path: os.chown(path, rng.randrange(2**32 - 1), 100000, follow_symlinks=False)]
for path in files:
    if rng.random() < 0.35 and is_regular(path): rng.choice(CONTENT)(path)
    if rng.random() < 0.35: rng.choice(ANY)(path)
for directory in rng.sample([d for d in directories if d.count(b'/') > 3], 8):
    if os.path.isdir(directory): os.rename(directory, new_name(b'tree'))
for directory in rng.sample([d for d in directories if d.count(b'/') > 3], 8):
    if os.path.isdir(directory): shutil.rmtree(directory)
_, directories = entries(b'tree')
for i in range(400): write(new_name(rng.choice(directories)), any_size())
for i in range(20):
    directory = new_name(rng.choice(directories))
    os.mkdir(directory, 0o2751)
    os.symlink(rng.choice([b'fast', b'slow' * 100, b'\\xe9']), new_name(directory))
    os.mkfifo(new_name(directory))
for name in sorted(os.listdir(b'many')):
    path, chance = b'many/' + name, rng.random()
    if chance < 0.2: os.unlink(path)
    elif chance < 0.25: os.rename(path, new_name(b'many'))
    elif chance < 0.27: write(path, any_size())
for i in range(1500): os.mknod(new_name(b'many'), 0o600 | stat.S_IFREG)
islands(b'sparse-islands', 8)
fallocate(b'sparse-islands', b'-p', b'-o', b'0', b'-l', str(rng.randrange(1 << 30)).encode())
os.chmod(b'.', rng.choice([0o755, 0o1777, 0o711]))
os.sync()
`;

const WIPE = `
files, _ = entries(b'.')
for path in files:
    if not is_regular(path): continue
    with open(path, 'r+b') as file:
        at, end = 0, os.path.getsize(path)
        while at < end:
            try: at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError: break
            until = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            while at < until: at += os.pwrite(file.fileno(), b'\\x5a' * min(1 << 20, until - at), at)
os.sync()
for name in os.listdir(b'.'):
    if name == b'lost+found': continue
    if os.path.isdir(name) and not os.path.islink(name): shutil.rmtree(name)
    else: os.unlink(name)
os.sync()
`;
