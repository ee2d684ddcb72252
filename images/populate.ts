/**
 * What every image with content holds: one of each thing that ext can keep and a reader can get wrong. Made through the
 * kernel's driver by standard tools, so that what is on the disk is what Linux writes there.
 */
import { runOk, shell } from '../test/helpers/run.ts';
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
	for (const script of [SIZES, LINKS, SPECIAL, SPARSE, ATTRIBUTES, DIRECTORIES, TIMES]) {
		await shell(`cd "$1"\n${script}`, [directory]);
	}
}

const SIZES = `
mkdir sizes
pattern() { head -c "$1" < <(yes "$1 bytes of content") ; }
for size in 0 1 59 60 61 100 130 156 157 160 200 511 1023 1024 1025 4095 4096 4097 70000; do
	pattern $size > sizes/$size
done
`;

const LINKS = `
mkdir links
echo linked > links/first
ln links/first links/second
ln links/first third-link
for length in 1 10 58 59 60 61 100 500 1000; do
	ln -s "$(head -c $length < <(yes abcdefghi/ | tr -d '\\n'))" links/symlink-$length
done
ln -s "$(printf 'not utf-8 \\377\\376')" links/raw-target
ln -s labelled links/with-xattr && setfattr -h -n trusted.label -v "$(head -c 300 /dev/zero | tr '\\0' x)" links/with-xattr || true
`;

const SPECIAL = `
mkdir special
mkfifo special/fifo
mknod special/null c 1 3
mknod special/old-limit c 255 255
mknod special/large-minor c 5 70000
mknod special/large-major b 4093 0
mknod special/block b 7 1023997
mkdir special/sticky && chmod 1777 special/sticky
touch special/setuid special/setgid special/no-access
chmod 4755 special/setuid
chmod 2711 special/setgid
chmod 0 special/no-access
touch special/large-ids && chown 100000:3000000000 special/large-ids
`;

const SPARSE = `
mkdir sparse
truncate -s 3G sparse/only-hole
echo end | dd of=sparse/hole-then-data bs=1 seek=1000000 status=none
(echo start; truncate -s 500000 /dev/stdout) > sparse/data-then-hole
fallocate -l 100000 sparse/unwritten 2>/dev/null || true
fallocate -n -l 200000 sparse/beyond-size 2>/dev/null || true
[ -s sparse/unwritten ] && echo written | dd of=sparse/unwritten bs=1 seek=50000 conv=notrunc status=none
head -c 300000 < <(yes punched) > sparse/punched
fallocate -p -o 50000 -l 150000 sparse/punched 2>/dev/null || true
python3 - sparse/fragmented <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for i in range(450):
    os.pwrite(fd, b"piece %d" % i, 2 * i * 4096)
    if i % 50 == 0: os.fsync(fd)
os.pwrite(fd, b"far", 1 << 31)
os.close(fd)
END
`;

const ATTRIBUTES = `
mkdir attributes
cd attributes
text() { head -c "$1" /dev/zero | tr '\\0' v; }
touch in-inode in-block many empty-value binary acl trusted
setfattr -n user.small -v value in-inode || exit 0
setfattr -n user.large -v "$(text 700)" in-block
setfattr -n user.small -v both in-block
for i in 1 2 3 4 5 6 7 8 9; do setfattr -n user.number-$i -v "$(text $((i * 7)))" many; done
setfattr -n user.empty empty-value
setfattr -n user.binary -v 0x00ff00fe binary
setfattr -n trusted.secret -v hidden trusted
setfattr -n security.noonmark -v label trusted
setfacl -m u:1000:rw,g:2000:r,m::rw acl
mkdir default-acl
setfacl -m d:u:70000:rwx,u:3:x default-acl
touch default-acl/inherits
cp --preserve=xattr in-block shares-block
`;

const DIRECTORIES = `
mkdir -p directories/nested/deeper/deepest directories/empty directories/many directories/thinned
cd directories
touch "$(head -c 255 /dev/zero | tr '\\0' n)" "with space" "$(printf 'new\\nline')" "$(printf 'not-utf-8-\\377\\200')" ./-dash
touch x "caf$(printf '\\303\\251')"
(cd many && seq -f 'entry-number-%05g' 400 | xargs touch)
(cd thinned && seq -f 'a-rather-long-name-of-an-entry-%05g' 200 | xargs touch && rm -f ./*[1-9])
`;

const TIMES = `
mkdir times
cd times
stamp() { touch -d "$1" "$2" 2>/dev/null || touch "$2"; }
stamp '@-1.000000001' before-epoch
stamp '@-2147483648' earliest
stamp '@2147483647.999999999' last-of-32-bits
stamp '@2147483648' first-after-32-bits
stamp '@4294967296.5' second-epoch
stamp '@15032385535.123456789' latest
`;
