import { spawn } from 'node:child_process';
import { copyFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import anyTest, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage, populateImage } from '../../images/populate.ts';
import { ROOT_NODE } from '../../src/fuse/node-id.ts';
import { invalidateEntry, invalidateInode } from '../../src/fuse/notify.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { renumbered, type TreeEntry, treeOfDirectory } from '../helpers/tree.ts';
import { eventually } from '../helpers/volume.ts';
import type { CopiesState, ServedCopy } from './browse-server.ts';
import { TRANSPORTS, type Transport } from './transports.ts';

const canRun = canMount && programs('mke2fs', 'setfattr', 'setfacl', 'getfacl', 'python3', 'setpriv');
const NAMES = ['@GMT-2026.11.22-10.20.00', '@GMT-2026.11.23-10.20.00', '@GMT-2026.11.24-10.20.00'] as const;

/** The same test on each transport. */
function testEach(title: string, body: (t: ExecutionContext, transport: Transport) => Promise<void>): void {
	for (const transport of TRANSPORTS) {
		const test = canRun && transport.isThere ? anyTest : anyTest.skip;
		test(`${title} (${transport.name})`, (t) => body(t, transport));
	}
}

const fixed = (...copies: ServedCopy[]): CopiesState => ({ copies, changedAtMs: 1_700_000_000_500 });

async function populated(t: ExecutionContext, mkfsArgs = ['-t', 'ext4']): Promise<string> {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 32, mkfsArgs);
	await populateImage(image);
	return image;
}

/** What the kernel's own driver shows of an image. */
function kernelView<T>(t: ExecutionContext, image: string, action: (mountPoint: string) => Promise<T>): Promise<T> {
	const copy = join(temporaryDirectory(t), 'copy');
	copyFileSync(image, copy);
	return withKernelMount(copy, 'ro', action);
}

const isUtf8 = (text: string) =>
	Buffer.from(Buffer.from(text, 'latin1').toString()).equals(Buffer.from(text, 'latin1'));

/** Checksums of the files that are not large. Those whose names only some transports show are left to others here. */
async function contents(root: string): Promise<string[]> {
	const script = 'cd "$1"; { find . -type f -size -17M -print0 || true; } | sort -z | xargs -0 sha256sum -z';
	return (await shell(script, [root])).toString('latin1').split('\0').filter(isUtf8);
}

/** All that is seen of a copy, each thing by its name: on what `entries` keeps of the tree, and beside the tree. */
async function view(root: string, isShown: (entry: TreeEntry) => boolean): Promise<Record<string, unknown>> {
	const everything = await treeOfDirectory(root);
	const entries = renumbered(everything.filter(isShown));
	const each = (value: (entry: TreeEntry) => unknown) => entries.map((entry) => [entry.path, value(entry)]);
	return {
		'names of any bytes': everything.map(({ path }) => path),
		'number of names': everything.length,
		'which names are one file': each(({ inode }) => inode),
		'types and permissions': each(({ mode }) => mode),
		'owners and link counts': each(({ owner, links }) => [owner, links]),
		'sizes and blocks': each(({ sizeBytes, blocks512 }) => [sizeBytes, blocks512]),
		'times to the nanosecond': each(({ times }) => times),
		'times since 1970, to the millisecond': entries
			.filter(({ path }) => !path.startsWith('times/'))
			.map(({ path, times }) => [path, Object.values(times).map((time) => time.slice(0, -6))]),
		'device numbers': each(({ device }) => device),
		'extended attributes': String(
			await shell('cd "$1"; getfattr -R -h -d -m - -e hex attributes links special | sort', [root]),
		),
		'attributes that outgrow the first buffer of a reader': each(({ xattrs }) => xattrs),
		'link targets of any bytes': each(({ target }) => target),
		'link targets': entries.filter(({ path }) => path !== 'links/raw-target').map(({ target }) => target),
		'data and holes': each(({ data, sha256 }) => [data, sha256]),
		content: await contents(root),
		space: String(await runOk('stat', ['-f', '-c', '%S %b %f %a %c %d %l', root])),
		ACLs: String(await shell('cd "$1"; getfacl -R attributes | sort', [root])),
		'preferred size of a read': String(await shell('cd "$1"; stat -c "%n %o" sizes/* | sort', [root])),
	};
}

const FORMATS = { 'blocks of 4 KiB': ['-t', 'ext4', '-b', '4096'], 'blocks of 1 KiB': ['-t', 'ext3', '-b', '1024'] };
for (const [title, mkfsArgs] of Object.entries(FORMATS)) {
	testEach(`a copy is what the kernel's mount of the image is: ${title}`, async (t, transport) => {
		const image = await populated(t, mkfsArgs);
		const { mountPoint } = await transport.serve(t, fixed({ number: 7, name: NAMES[0], image }));
		const isShown = ({ path, mode }: TreeEntry) =>
			!transport.hasGap('names of any bytes') || (isUtf8(path) && !mode.startsWith('error'));
		const seen = await view(join(mountPoint, NAMES[0]), isShown);
		const expected = await kernelView(t, image, (root) => view(root, isShown));
		t.true((expected['number of names'] as number) > 500);
		for (const [what, value] of Object.entries(expected)) transport.same(t, what, seen[what], value);
	});
}

testEach(
	'the kernel checks permissions and ACLs as on its own mount, and hides what it hides there',
	async (t, transport) => {
		const image = await populated(t);
		await withKernelMount(image, 'noatime', (mountPoint) =>
			shell(
				`cd "$1/attributes"; echo secret | tee granted denied; chmod 600 granted
setfacl -m u:1000:r granted; setfacl -m u:1000:- denied; chmod 644 denied; setfacl -m g:2000:- denied`,
				[mountPoint],
			),
		);
		const script = `
cd "$1"
for user in 0 1000 2000 70000; do
	for file in attributes/granted attributes/denied attributes/default-acl special/no-access special/setgid special/setuid; do
		as() { setpriv --reuid $user --regid $user --clear-groups -- "$@" 2>&1 | tr -d '\\0' || true; }
		echo "$user $file: $(as cat $file) $(as test -r $file && echo r) $(as ls -ld --time-style=+ $file)"
	done
	setpriv --reuid $user --regid $user --clear-groups getfattr -d -m - attributes/trusted 2>&1 || true
done`;
		const seen = (mountPoint: string) =>
			shell(script, [mountPoint]).then((out) =>
				String(out)
					.trim()
					.split(/^(?=\d)/m),
			);
		const { mountPoint } = await transport.serve(t, fixed({ number: 1, name: NAMES[0], image }));
		await shell('chmod 755 "$1"', [join(mountPoint, '..')]);
		const [ours, kernels] = [await seen(join(mountPoint, NAMES[0])), await kernelView(t, image, seen)];
		const ofRoot = (lines: string[]) => lines.filter((line) => line.startsWith('0 '));
		transport.same(t, 'what root may read', ofRoot(ours), ofRoot(kernels));
		transport.same(t, 'what other users may read', ours, kernels);
		const expected = kernels.join('');
		t.regex(expected, /trusted.secret/);
		t.regex(expected, /1000 attributes.granted: secret r/);
		t.regex(expected, /1000 attributes.denied: cat: attributes.denied: Permission denied/);
		t.regex(expected, /70000 attributes.granted: cat: attributes.granted: Permission denied/);
	},
);

testEach('inode numbers: of two copies, and of hard links within one; the time of birth', async (t, transport) => {
	const image = await populated(t);
	const { mountPoint } = await transport.serve(
		t,
		fixed({ number: 1, name: NAMES[0], image }, { number: 2, name: NAMES[1], image }),
	);
	const output = await shell('cd "$1"; stat -c %i "$2/links/first" "$2/third-link" "$3/links/first" "$3/third-link"', [
		mountPoint,
		...NAMES,
	]);
	const [a, a2, b, b2] = output.toString().trim().split('\n').map(BigInt);
	transport.same(t, 'which names are one file', [a === a2, b === b2], [true, true]);
	const differs = [a! >> 32n !== b! >> 32n, (a! & 0xffffffffn) !== (b! & 0xffffffffn)];
	transport.same(t, 'inode numbers of two copies, in both halves', differs, [true, true]);
	const birth = Number(await runOk('stat', ['-c', '%W', join(mountPoint, NAMES[0], 'links/first')]));
	transport.same(t, 'birth times', birth > 1_700_000_000, true);
});

testEach(
	'a directory of 30,000 entries is listed once and whole, each entry as it is found by name',
	async (t, transport) => {
		const image = await makeImage(join(temporaryDirectory(t), 'image'), 64, ['-t', 'ext4', '-N', '40000']);
		await withKernelMount(image, 'noatime', (mountPoint) =>
			shell(
				'mkdir "$1/many"; cd "$1/many"; seq -f "an entry with number %.0f" 30000 | tr "\\n" "\\0" | xargs -0 touch',
				[mountPoint],
			),
		);
		const { mountPoint } = await transport.serve(t, fixed({ number: 1, name: NAMES[0], image }));
		const script = `
import os, sys
many = sys.argv[1]
first = os.listdir(many)
assert len(first) == len(set(first)) == 30000, len(first)
assert sorted(first) == sorted('an entry with number %d' % n for n in range(1, 30001))
status = {name: os.lstat(many + '/' + name) for name in first}
assert all(s.st_size == 0 for s in status.values())
with os.scandir(many) as entries:
    print({(e.name, e.inode()) for e in entries} == {(n, s.st_ino) for n, s in status.items()})`;
		const listed = await runOk('python3', ['-c', script, join(mountPoint, NAMES[0], 'many')], { timeoutMs: 180_000 });
		transport.same(t, 'inode numbers in a listing', String(listed), 'True\n');
	},
);

testEach(
	'names that are not there, too long names, and writes fail as they do on a read-only mount',
	async (t, transport) => {
		const image = await populated(t);
		const { mountPoint } = await transport.serve(t, fixed({ number: 1, name: NAMES[0], image }));
		const copy = join(mountPoint, NAMES[0]);
		const script = `
import errno, os, sys
def attempt(action, *args):
    try: action(*args); print('done')
    except OSError as e: print(errno.errorcode[e.errno])
copy, root = sys.argv[1], sys.argv[2]
attempt(os.stat, copy + '/nothing')
attempt(os.stat, copy + '/nothing')
attempt(os.stat, copy + '/' + 'n' * 256)
attempt(os.stat, copy + '/links/first/below')
attempt(os.unlink, copy + '/links/first')
attempt(os.mkdir, root + '/new')
attempt(os.open, copy + '/links/first', os.O_WRONLY)
attempt(os.getxattr, copy + '/links/first', 'user.nothing')
attempt(os.stat, root + '/@GMT-2026.11.22-10.20.01')
attempt(os.stat, root + '/@gmt-2026.11.22-10.20.00')
attempt(os.stat, copy + '/..')
print(os.stat(copy + '/..').st_ino == os.stat(root).st_ino, os.listdir(root), os.statvfs(root).f_namemax)`;
		transport.same(
			t,
			'errors',
			String(await runOk('python3', ['-c', script, copy, mountPoint])),
			`ENOENT\nENOENT\nENAMETOOLONG\nENOTDIR\nEROFS\nEROFS\nEROFS\nENODATA\nENOENT\nENOENT\ndone\nTrue ['${NAMES[0]}'] 255\n`,
		);
	},
);

/** Prints, for each name of a tree that can be opened, what ioctl(2) tells of it; of some names what is refused. */
const ASK = `
import errno, fcntl, os, sys
os.chdir(sys.argv[1])
def attempt(action, *args):
    try: return action(*args)
    except OSError as e: return errno.errorcode[e.errno]
def ioctl(command, size):
    try: return fcntl.ioctl(fd, command, bytes(size)).hex()
    except OSError as e: return errno.errorcode[e.errno]
FLAGS, XATTR, VERSION, UNKNOWN = (0x80086601, 8), (0x801c581f, 28), (0x80087601, 8), (0x80085aff, 8)
if sys.argv[2] == 'ioctls':
    for directory, directories, names in os.walk(b'.'):
        directories.sort()
        for path in [directory] + [os.path.join(directory, name) for name in sorted(names)]:
            if os.path.islink(path) or not (os.path.isfile(path) or os.path.isdir(path)): continue
            fd = os.open(path, os.O_RDONLY)
            print(path, [ioctl(*command) for command in (FLAGS, XATTR, VERSION, UNKNOWN)])
            os.close(fd)
if sys.argv[2] == 'xattrs':
    for path in ['attributes/in-inode', 'links', 'special/fifo', 'links/symlink-10', '.']:
        for name in ['user.no', 'user.', 'user', 'userno', 'trusted.no', 'trusted.', 'security.no', 'security.', 'gnu.no', 'system.no',
                'system.posix_acl_access', 'system.posix_acl_default', 'system.posix_acl_acces', 'system.nfs4_acl', 'os2.no', 'no']:
            print(path, name, attempt(lambda: os.getxattr(path, name, follow_symlinks=False)))
if sys.argv[2] == 'seeks':
    for path in ['sparse/punched', 'sparse/only-hole', 'sizes/0', 'sizes/59', 'sizes/4097']:
        fd = os.open(path, os.O_RDONLY)
        for offset in [0, 1, 58, 4096, 60000, 299999, 300000, -1, -2**63, 2**53 - 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1]:
            print(path, offset, [attempt(os.lseek, fd, offset, whence) for whence in (os.SEEK_DATA, os.SEEK_HOLE)])
        os.close(fd)`;

testEach('flags, projects and generations are those of the kernel', async (t, transport) => {
	const image = await populated(t, ['-t', 'ext4', '-I', '256', '-O', 'inline_data']);
	const flags = ['i', 'a', 'd', 'A', 'S', 's', 'u', 't', 'c', 'aiAdS'];
	const script = 'cd "$1"; mkdir flagged; shift; for f; do echo > "flagged/$f"; chattr "+$f" "flagged/$f"; done';
	await withKernelMount(image, 'noatime', (root) =>
		shell(`${script}; mkdir flagged/D flagged/T; chattr +D flagged/D; chattr +T flagged/T; chattr +i flagged`, [
			root,
			...flags,
		]),
	);
	// The kernel may know the feature well enough to read it only.
	await runOk('tune2fs', ['-O', 'project', image]);
	const inherits = 'sif directories flags 0x20080000';
	const input = [
		inherits,
		'sif directories projid 4711',
		'sif sizes/60 projid 4000000000',
		'sif sizes/61 flags 0x30000000',
		'sif sizes/70000 flags 0x82000',
	];
	await runOk('debugfs', ['-w', '-f', '-', image], { input: input.join('\n') });
	const ask = async (root: string) => String(await runOk('python3', ['-c', ASK, root, 'ioctls']));
	const { mountPoint } = await transport.serve(t, fixed({ number: 1, name: NAMES[0], image }));
	const [ours, kernels] = [await ask(join(mountPoint, NAMES[0])), await kernelView(t, image, ask)];
	t.regex(kernels, /directories' .*'00020000/);
	for (const seen of [/67120000/, /00286bee/, /f8000010/]) t.regex(kernels, seen);
	transport.same(t, 'flags, projects and generations', ours.split('\n'), kernels.split('\n'));
});

testEach('attributes and places of files that cannot be are refused as by the kernel', async (t, transport) => {
	const image = await populated(t, ['-t', 'ext4', '-O', 'inline_data']);
	const { mountPoint } = await transport.serve(t, fixed({ number: 1, name: NAMES[0], image }));
	const ask = async (root: string, what: string) => String(await runOk('python3', ['-c', ASK, root, what])).split('\n');
	for (const [what, named] of [
		['xattrs', 'errors'],
		['seeks', 'data and holes'],
	] as const) {
		const expected = await kernelView(t, image, (root) => ask(root, what));
		transport.same(t, named, await ask(join(mountPoint, NAMES[0]), what), expected);
	}
});

testEach(
	'a copy that cannot be opened is a directory that cannot be entered; the others are not touched',
	async (t, transport) => {
		const image = await populated(t);
		const broken = join(temporaryDirectory(t), 'broken');
		writeFileSync(broken, Buffer.alloc(100_000));
		const { mountPoint } = await transport.serve(
			t,
			fixed({ number: 1, name: NAMES[0], image: broken }, { number: 2, name: NAMES[1], image }),
		);
		for (let i = 0; i < 2; i++) {
			t.regex((await run('ls', [join(mountPoint, NAMES[0])])).stderr, /Operation not supported/);
			t.regex((await run('cat', [join(mountPoint, NAMES[0], 'file')])).stderr, /Operation not supported/);
		}
		t.is(String(await runOk('stat', ['-c', '%F %a', join(mountPoint, NAMES[0])])), 'directory 555\n');
		t.is(String(await runOk('cat', [join(mountPoint, NAMES[1], 'links/first')])), 'linked');
	},
);

testEach(
	'copies that come and go show after a second, at once where the kernel is notified; who is inside is told',
	async (t, transport) => {
		const image = await populated(t);
		const stateFile = join(temporaryDirectory(t), 'state');
		const copies = NAMES.map((name, i) => ({ number: i + 1, name, image }));
		const set = (count: number, changedAtMs: number, isGone = false) => {
			const state = { copies: copies.slice(0, count).map((copy) => ({ ...copy, isGone })), changedAtMs };
			writeFileSync(`${stateFile}.new`, JSON.stringify(state));
			renameSync(`${stateFile}.new`, stateFile);
		};
		set(1, 1000);
		const { mountPoint, fd } = await transport.serve(t, { stateFile });
		const list = async () => (await runOk('ls', [mountPoint])).toString().trim().split('\n');
		t.deepEqual(await list(), NAMES.slice(0, 1));

		set(3, 2000);
		await eventually('all three are listed', async () => (await list()).length === 3);
		t.deepEqual(await list(), [...NAMES]);
		await runOk('ls', [join(mountPoint, NAMES[2])]);

		const inside = spawn(
			'bash',
			['-c', 'cd "$1"; echo entered; read -r line; cat sizes/59 2>&1', 'bash', join(mountPoint, NAMES[2])],
			{ stdio: ['pipe', 'pipe', 'inherit'], timeout: 60_000, killSignal: 'SIGKILL' },
		);
		const insideSays = createInterface({ input: inside.stdout })[Symbol.asyncIterator]();
		t.is((await insideSays.next()).value, 'entered');
		set(2, 3000);
		const isGone = async () =>
			(await run('ls', [join(mountPoint, NAMES[2])])).stderr.includes('No such file or directory');
		if (fd === undefined) {
			await eventually('two are listed', async () => (await list()).length === 2);
			await eventually('the third is gone', isGone);
		} else {
			invalidateInode(fd, ROOT_NODE);
			invalidateEntry(fd, ROOT_NODE, Buffer.from(NAMES[2]));
			invalidateEntry(fd, ROOT_NODE, Buffer.from('@GMT-2000.01.01-00.00.00'));
		}
		t.deepEqual(await list(), NAMES.slice(0, 2));
		t.true(await isGone());
		inside.stdin.end('go\n');
		const told = (await insideSays.next()).value!.split(': ').at(-1);
		transport.same(t, 'who is in a deleted copy is told that it is gone', told, 'Stale file handle');

		set(2, 3000, true);
		t.regex((await run('ls', [join(mountPoint, NAMES[1], 'directories')])).stderr, /Stale file handle|No such file/);
	},
);

testEach('a file handle, as an NFS server keeps it, outlives the mount that gave it', async (t, transport) => {
	const image = await populated(t);
	const state = fixed({ number: 5, name: NAMES[0], image });
	const script = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def give(path):
    handle = bytearray((128).to_bytes(4, sys.byteorder) + bytes(132)); mount_id = ctypes.c_int()
    buffer = (ctypes.c_char * len(handle)).from_buffer(handle)
    check(libc.name_to_handle_at(-100, os.fsencode(path), buffer, ctypes.byref(mount_id), 0))
    print(bytes(handle).hex())
def take(root, text):
    buffer = ctypes.create_string_buffer(bytes.fromhex(text))
    mount = os.open(root, os.O_RDONLY)
    print(os.read(check(libc.open_by_handle_at(mount, buffer, os.O_RDONLY)), 100).decode(), end='')
globals()[sys.argv[1]](*sys.argv[2:])`;
	const first = await transport.serve(t, state);
	const give = ['-c', script, 'give', join(first.mountPoint, NAMES[0], 'links/first')];
	const handle = (await runOk('python3', give)).toString().trim();
	await first.stop();
	const second = await transport.serve(t, state);
	const taken = await run('python3', ['-c', script, 'take', second.mountPoint, handle]);
	transport.same(t, 'file handles that outlive the mount', taken.stdout.toString(), 'linked');
});
