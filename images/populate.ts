/**
 * What every image with content holds: one of each thing that ext can keep and a reader can get wrong. Made through the
 * kernel's driver, so that what is on the disk is what Linux writes there.
 */
import { runOk } from '../test/helpers/run.ts';
import { withKernelMount } from './kernel-mount.ts';

/** Makes an image of `sizeMiB` with mke2fs; returns its path. The UUID and hash seed are fixed, so that names hash alike. */
export async function makeImage(path: string, sizeMiB: number, mkfsArgs: readonly string[]): Promise<string> {
	await runOk('truncate', ['-s', `${sizeMiB}M`, path]);
	const fixed = ['-U', '6e6f6f6e-6d61-726b-8000-000000000001', '-E', 'hash_seed=6e6f6f6e-6d61-726b-8000-000000000002'];
	await runOk('mke2fs', ['-q', '-F', ...fixed, ...mkfsArgs, path]);
	return path;
}

/** Fills an image; `options` are more mount options. */
export async function populateImage(image: string, options = 'noatime'): Promise<void> {
	await withKernelMount(image, options, (mountPoint) => populate(mountPoint));
}

/** Fills a directory of a mounted ext file system. What the file system cannot keep is left out without complaint. */
export async function populate(directory: string): Promise<void> {
	await runOk('python3', [
		'-c',
		[TOOLS, SIZES, LINKS, SPECIAL, SPARSE, ATTRIBUTES, DIRECTORIES, TIMES].join('\n'),
		directory,
	]);
}

const TOOLS = `
import errno, os, stat, struct, subprocess, sys
os.chdir(sys.argv[1])
os.umask(0o022)
CANNOT = {errno.EOPNOTSUPP, errno.ENOSPC, errno.EFBIG, errno.E2BIG, errno.EINVAL, errno.ERANGE}
def where_possible(action, *arguments, **options):
    try: return action(*arguments, **options)
    except OSError as error:
        if error.errno not in CANNOT: raise
def write(path, content):
    with open(path, 'wb') as file: file.write(content)
def pattern(size): return (b'%d bytes of content, ' % size * (size // 16 + 1))[:size]
def fallocate(path, mode, start, length):
    options = {'keep': ['-n'], 'punch': ['-p'], 'plain': []}[mode]
    subprocess.run(['fallocate', *options, '-o', str(start), '-l', str(length), path], stderr=subprocess.DEVNULL)
`;

const SIZES = `
os.mkdir('sizes')
for size in [0, 1, 59, 60, 61, 100, 130, 156, 157, 160, 200, 511, 1023, 1024, 1025, 4095, 4096, 4097, 70000]:
    write('sizes/%d' % size, pattern(size))
`;

const LINKS = `
os.mkdir('links')
write('links/first', b'linked')
os.link('links/first', 'links/second')
os.link('links/first', 'third-link')
for length in [1, 10, 58, 59, 60, 61, 100, 500, 1000]:
    os.symlink((b'abcdefghi/' * 100)[:length], b'links/symlink-%d' % length)
os.symlink(b'not utf-8 \\xff\\xfe', 'links/raw-target')
os.symlink('labelled', 'links/with-xattr')
where_possible(os.setxattr, 'links/with-xattr', 'trusted.label', b'x' * 300, follow_symlinks=False)
`;

const SPECIAL = `
os.mkdir('special')
os.mkfifo('special/fifo')
os.mknod('special/socket', stat.S_IFSOCK | 0o755)
for name, kind, major, minor in [('null', stat.S_IFCHR, 1, 3), ('old-limit', stat.S_IFCHR, 255, 255),
        ('large-minor', stat.S_IFCHR, 5, 70000), ('large-major', stat.S_IFBLK, 4093, 0),
        ('block', stat.S_IFBLK, 7, 1023997)]:
    os.mknod('special/' + name, kind | 0o600, os.makedev(major, minor))
os.mkdir('special/sticky')
for name, mode in [('setuid', 0o4755), ('setgid', 0o2711), ('no-access', 0), ('large-ids', 0o644)]:
    write('special/' + name, b'')
    os.chmod('special/' + name, mode)
os.chmod('special/sticky', 0o1777)
os.chown('special/large-ids', 100000, 3000000000)
`;

const SPARSE = `
os.mkdir('sparse')
with open('sparse/only-hole', 'wb') as file: file.truncate(3 << 30)
with open('sparse/hole-then-data', 'wb') as file:
    file.seek(1000000)
    file.write(b'end')
write('sparse/data-then-hole', b'start')
os.truncate('sparse/data-then-hole', 500000)
write('sparse/unwritten', b'')
fallocate('sparse/unwritten', 'plain', 0, 100000)
with open('sparse/unwritten', 'r+b') as file:
    file.seek(50000)
    file.write(b'written')
write('sparse/beyond-size', b'')
fallocate('sparse/beyond-size', 'keep', 0, 200000)
write('sparse/punched', pattern(300000))
fallocate('sparse/punched', 'punch', 50000, 150000)
fd = os.open('sparse/fragmented', os.O_RDWR | os.O_CREAT)
for i in range(450):
    os.pwrite(fd, b'piece %d' % i, 2 * i * 4096)
    if i % 150 == 0: os.fsync(fd)
os.pwrite(fd, b'far', 1 << 31)
os.close(fd)
`;

const ATTRIBUTES = `
os.mkdir('attributes')
def attribute(path, name, value): where_possible(os.setxattr, 'attributes/' + path, name, value)
def acl(path, kind, entries):
    wire = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)
    attribute(path, 'system.posix_acl_' + kind, wire)
for name in ['in-inode', 'in-block', 'many', 'empty-value', 'binary', 'acl', 'trusted', 'shares-block']:
    write('attributes/' + name, b'')
attribute('in-inode', 'user.small', b'value')
for path in ['in-block', 'shares-block']:
    attribute(path, 'user.large', b'v' * 700)
    attribute(path, 'user.small', b'both')
for i in range(1, 10): attribute('many', 'user.number-%d' % i, b'v' * (i * 7))
attribute('empty-value', 'user.empty', b'')
attribute('binary', 'user.binary', bytes(range(256)))
attribute('trusted', 'trusted.secret', b'hidden')
attribute('trusted', 'security.noonmark', b'label')
NO_ID = 0xffffffff
acl('acl', 'access', [(1, 6, NO_ID), (2, 6, 1000), (4, 4, NO_ID), (8, 4, 2000), (16, 6, NO_ID), (32, 4, NO_ID)])
os.mkdir('attributes/default-acl')
acl('default-acl', 'default', [(1, 7, NO_ID), (2, 1, 3), (2, 7, 70000), (4, 5, NO_ID), (16, 7, NO_ID), (32, 5, NO_ID)])
write('attributes/default-acl/inherits', b'')
`;

const DIRECTORIES = `
os.makedirs('directories/nested/deeper/deepest')
for name in ['empty', 'many', 'thinned']: os.mkdir('directories/' + name)
for name in [b'n' * 255, b'with space', b'new\\nline', b'not-utf-8-\\xff\\x80', b'-dash', b'x', b'caf\\xc3\\xa9']:
    write(b'directories/' + name, b'')
for i in range(400): write('directories/many/entry-number-%05d' % i, b'')
for i in range(200): write('directories/thinned/a-rather-long-name-of-an-entry-%05d' % i, b'')
for i in range(200):
    if i % 10: os.unlink('directories/thinned/a-rather-long-name-of-an-entry-%05d' % i)
`;

const TIMES = `
os.mkdir('times')
for name, nanoseconds in [('before-epoch', -1000000001), ('earliest', -2147483648 * 10**9),
        ('last-of-32-bits', 2147483647999999999), ('first-after-32-bits', 2147483648 * 10**9),
        ('second-epoch', 4294967296500000000), ('future', 9223372036123456789)]:
    write('times/' + name, b'')
    os.utime('times/' + name, ns=(nanoseconds, nanoseconds))
subprocess.run(['touch', '-d', '@15032385535.123456789', 'times/latest'], check=True)
`;
