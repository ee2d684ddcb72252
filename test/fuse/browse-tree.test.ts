import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import anyTest, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage, populateImage } from '../../images/populate.ts';
import { hasFuseNative } from '../../src/fuse/fuse-native.ts';
import { ROOT_NODE } from '../../src/fuse/node-id.ts';
import { invalidateEntry, invalidateInode } from '../../src/fuse/notify.ts';
import { serveFuseNative, serveMount } from '../helpers/fuse-mount.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { renumbered, treeOfDirectory } from '../helpers/tree.ts';
import { eventually } from '../helpers/volume.ts';
import type { CopiesState, ServedCopy } from './browse-server.ts';

const canRun = canMount && programs('mke2fs', 'setfattr', 'setfacl', 'getfacl', 'python3', 'setpriv');
const test = canRun ? anyTest : anyTest.skip;
const NAMES = ['@GMT-2026.11.22-10.20.00', '@GMT-2026.11.23-10.20.00', '@GMT-2026.11.24-10.20.00'] as const;

function serveBrowse(t: ExecutionContext, data: CopiesState | { stateFile: string }) {
	const mountPoint = join(temporaryDirectory(t), 'browse');
	mkdirSync(mountPoint);
	const handlerModule = new URL('./browse-server.js', import.meta.url).href;
	return serveMount(t, {
		...{ mountPoint, root: 'directory', source: 'noonmark', readOnly: true, allowOther: true, threads: 2 },
		...{ handlerModule, handlerData: data },
	});
}

/** What fuse-native can show is the same through both transports. */
const SERVED = {
	'': async (t: ExecutionContext, data: CopiesState | { stateFile: string }) => serveBrowse(t, data),
	' (fuse-native)': async (t: ExecutionContext, data: CopiesState | { stateFile: string }) => {
		const mountPoint = join(temporaryDirectory(t), 'browse');
		mkdirSync(mountPoint);
		const handlerModule = new URL('./browse-server.js', import.meta.url).href;
		return serveFuseNative(t, { mountPoint, source: 'noonmark', handlerModule, handlerData: data });
	},
};

/** A test for each transport; fuse-native is optional. */
function testBoth(title: string, body: (t: ExecutionContext, serve: (typeof SERVED)['']) => Promise<void>): void {
	for (const [transport, serve] of Object.entries(SERVED)) {
		const withTransport = transport === '' || hasFuseNative() ? test : anyTest.skip;
		withTransport(`${title}${transport}`, (t) => body(t, serve as (typeof SERVED)['']));
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

const FORMATS = { 'blocks of 4 KiB': ['-t', 'ext4', '-b', '4096'], 'blocks of 1 KiB': ['-t', 'ext3', '-b', '1024'] };
for (const [title, mkfsArgs] of Object.entries(FORMATS)) {
	test(`a copy is what the kernel's mount of the image is: ${title}`, async (t) => {
		const image = await populated(t, mkfsArgs);
		const view = (mountPoint: string) =>
			Promise.all([
				treeOfDirectory(mountPoint),
				runOk('find', [mountPoint, '-printf', '%P %y %i\\n']).then(
					(lines) => lines.toString('latin1').split('\n').length,
				),
				runOk('stat', ['-f', '-c', '%S %b %f %a %c %d %l', mountPoint]).then(String),
				shell('cd "$1"; getfacl -R . | sort', [mountPoint]).then(String),
				shell('cd "$1"; stat -c "%n %o" sizes/* | sort', [mountPoint]).then(String),
			]);
		const mount = serveBrowse(t, fixed({ number: 7, name: NAMES[0], image }));
		const [tree, ...others] = await view(join(mount.mountPoint, NAMES[0]));
		const [kernelTree, ...kernelOthers] = await kernelView(t, image, view);
		t.deepEqual(renumbered(tree), renumbered(kernelTree));
		t.deepEqual(others, kernelOthers);
		t.true(tree.length > 500);
	});
}

test('the kernel checks permissions and ACLs as on its own mount, and hides what it hides there', async (t) => {
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
	const seen = (mountPoint: string) => shell(script, [mountPoint]).then(String);
	const { mountPoint } = serveBrowse(t, fixed({ number: 1, name: NAMES[0], image }));
	await shell('chmod 755 "$1"', [join(mountPoint, '..')]);
	const ours = await seen(join(mountPoint, NAMES[0]));
	const kernels = await kernelView(t, image, seen);
	t.is(ours, kernels);
	t.regex(ours, /trusted.secret/);
	t.regex(ours, /1000 attributes.granted: secret r/);
	t.regex(ours, /1000 attributes.denied: cat: attributes.denied: Permission denied/);
	t.regex(ours, /70000 attributes.granted: cat: attributes.granted: Permission denied/);
});

test('two copies of one file differ in both halves of st_ino; hard links within a copy are equal', async (t) => {
	const image = await populated(t);
	const { mountPoint } = serveBrowse(
		t,
		fixed({ number: 1, name: NAMES[0], image }, { number: 2, name: NAMES[1], image }),
	);
	const output = await shell('cd "$1"; stat -c %i "$2/links/first" "$2/third-link" "$3/links/first" "$3/third-link"', [
		mountPoint,
		...NAMES,
	]);
	const [a, a2, b, b2] = output.toString().trim().split('\n').map(BigInt);
	t.is(a, a2);
	t.is(b, b2);
	t.not(a! >> 32n, b! >> 32n);
	t.not(a! & 0xffffffffn, b! & 0xffffffffn);
	const births = await runOk('stat', ['-c', '%W', join(mountPoint, NAMES[0], 'links/first')]);
	t.true(Number(births.toString()) > 1_700_000_000);
});

test('a directory of 30,000 entries is listed once and whole, also by a reader that goes back', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 64, ['-t', 'ext4', '-N', '40000']);
	await withKernelMount(image, 'noatime', (mountPoint) =>
		shell('mkdir "$1/many"; cd "$1/many"; seq -f "an entry with number %.0f" 30000 | tr "\\n" "\\0" | xargs -0 touch', [
			mountPoint,
		]),
	);
	const { mountPoint } = serveBrowse(t, fixed({ number: 1, name: NAMES[0], image }));
	const script = `
import os, sys
many = sys.argv[1]
first = os.listdir(many)
assert len(first) == len(set(first)) == 30000, len(first)
assert sorted(first) == sorted('an entry with number %d' % n for n in range(1, 30001))
assert all(os.lstat(many + '/' + name).st_size == 0 for name in first)
with os.scandir(many) as entries:
    assert {(e.name, e.inode()) for e in entries} == {(n, os.lstat(many + '/' + n).st_ino) for n in first}
print('listed')`;
	const listed = await runOk('python3', ['-c', script, join(mountPoint, NAMES[0], 'many')], { timeoutMs: 180_000 });
	t.is(listed.toString(), 'listed\n');
});

testBoth(
	'names that are not there, too long names, and writes fail as they do on a read-only mount',
	async (t, serve) => {
		const image = await populated(t);
		const { mountPoint } = await serve(t, fixed({ number: 1, name: NAMES[0], image }));
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
		t.is(
			(await runOk('python3', ['-c', script, copy, mountPoint])).toString(),
			`ENOENT\nENOENT\nENAMETOOLONG\nENOTDIR\nEROFS\nEROFS\nEROFS\nENODATA\nENOENT\nENOENT\ndone\nTrue ['${NAMES[0]}'] 255\n`,
		);
	},
);

testBoth(
	'a copy that cannot be opened is a directory that cannot be entered; the others are not touched',
	async (t, serve) => {
		const image = await populated(t);
		const broken = join(temporaryDirectory(t), 'broken');
		writeFileSync(broken, Buffer.alloc(100_000));
		const { mountPoint } = await serve(
			t,
			fixed({ number: 1, name: NAMES[0], image: broken }, { number: 2, name: NAMES[1], image }),
		);
		for (let i = 0; i < 2; i++) {
			t.regex((await run('ls', [join(mountPoint, NAMES[0])])).stderr, /Operation not supported/);
			t.regex((await run('cat', [join(mountPoint, NAMES[0], 'file')])).stderr, /Operation not supported/);
		}
		t.is((await runOk('stat', ['-c', '%F %a', join(mountPoint, NAMES[0])])).toString(), 'directory 555\n');
		t.is((await runOk('cat', [join(mountPoint, NAMES[1], 'links/first')])).toString(), 'linked');
	},
);

test('copies that come and go show after a second, at once where the kernel is notified; who is inside gets ESTALE', async (t) => {
	const image = await populated(t);
	const stateFile = join(temporaryDirectory(t), 'state');
	const copies = NAMES.map((name, i) => ({ number: i + 1, name, image }));
	const set = (count: number, changedAtMs: number, isGone = false) => {
		const state = { copies: copies.slice(0, count).map((copy) => ({ ...copy, isGone })), changedAtMs };
		writeFileSync(`${stateFile}.new`, JSON.stringify(state));
		renameSync(`${stateFile}.new`, stateFile);
	};
	set(1, 1000);
	const mount = serveBrowse(t, { stateFile });
	const list = async () => (await runOk('ls', [mount.mountPoint])).toString().trim().split('\n');
	t.deepEqual(await list(), NAMES.slice(0, 1));

	set(3, 2000);
	await eventually('all three are listed', async () => (await list()).length === 3);
	t.deepEqual(await list(), [...NAMES]);
	await runOk('ls', [join(mount.mountPoint, NAMES[2])]);

	const inside = spawn(
		'bash',
		['-c', 'cd "$1"; echo entered; read -r line; cat sizes/59 2>&1', 'bash', join(mount.mountPoint, NAMES[2])],
		{ stdio: ['pipe', 'pipe', 'inherit'], timeout: 60_000, killSignal: 'SIGKILL' },
	);
	const insideSays = createInterface({ input: inside.stdout })[Symbol.asyncIterator]();
	t.is((await insideSays.next()).value, 'entered');
	set(2, 3000);
	invalidateInode(mount.fd, ROOT_NODE);
	invalidateEntry(mount.fd, ROOT_NODE, Buffer.from(NAMES[2]));
	invalidateEntry(mount.fd, ROOT_NODE, Buffer.from('@GMT-2000.01.01-00.00.00'));
	t.deepEqual(await list(), NAMES.slice(0, 2));
	t.regex((await run('ls', [join(mount.mountPoint, NAMES[2])])).stderr, /No such file or directory/);
	inside.stdin.end('go\n');
	t.regex((await insideSays.next()).value!, /Stale file handle/);

	set(2, 3000, true);
	t.regex(
		(await run('ls', [join(mount.mountPoint, NAMES[1], 'directories')])).stderr,
		/Stale file handle|No such file/,
	);
});

test('a file handle, as an NFS server keeps it, outlives the mount that gave it', async (t) => {
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
	const first = serveBrowse(t, state);
	const give = ['-c', script, 'give', join(first.mountPoint, NAMES[0], 'links/first')];
	const handle = (await runOk('python3', give)).toString().trim();
	await first.stop();
	const second = serveBrowse(t, state);
	t.is((await runOk('python3', ['-c', script, 'take', second.mountPoint, handle])).toString(), 'linked');
});

test('through fuse-native a copy is what the kernel shows, but for what the README lists', async (t) => {
	if (!hasFuseNative()) return t.pass();
	const image = await populated(t);
	const find = 'find . ! -name raw-target';
	const isUtf8 = (text: string) =>
		Buffer.from(Buffer.from(text, 'latin1').toString()).equals(Buffer.from(text, 'latin1'));
	const view = async (mountPoint: string) => {
		const lines = async (script: string) =>
			(await shell(`cd "$1"; ${script}`, [mountPoint])).toString('latin1').split('\0').filter(isUtf8).sort();
		return {
			files: (
				await lines(`${find} ! -path './times/*' -printf '%P %y %m %n %U:%G %s %b %l %A@ %T@ %C@\\0' || true`)
			).map((line) => line.replaceAll(/(\.\d{3})\d{7}/g, '$1')),
			contents: await lines(`{ ${find} -type f -size -17M -print0 || true; } | xargs -0 sha256sum -z`),
			attributes: await lines('find attributes -print0 | sort -z | xargs -0 getfattr -d -m - -e hex'),
			space: await lines("stat -f -c '%S %b %f %a %c %d %l' ."),
		};
	};
	const { mountPoint } = await SERVED[' (fuse-native)'](t, fixed({ number: 1, name: NAMES[0], image }));
	const seen = await view(join(mountPoint, NAMES[0]));
	t.deepEqual(seen, await kernelView(t, image, view));
	t.true(seen.files.length > 500);
});
