import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { type BrowseCopy, BrowseTree } from '../../src/fuse/browse-tree.ts';
import { PathClient, RequestError } from '../../src/fuse/path-client.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { TRANSPORTS } from './transports.ts';

const canRun = canMount && programs('mke2fs', 'setfattr', 'setfacl', 'getfacl', 'getfattr');

const nameOf = (i: number) => `@GMT-2026.11.22-10.20.${String(i).padStart(2, '0')}`;

/** What is done to the root directory of an image before it is copied. */
const ROOTS = {
	plain: ':',
	'owner, mode and times':
		'chown 1000:2000 "$1"; chmod 3751 "$1"; mkdir "$1/a" "$1/b"; touch -d 2001-02-03T04:05:06.789 "$1"',
	'ACLs and attributes': `setfacl -m u:1000:rx,g:2000:rwx,d:u:7:r "$1"; setfattr -n user.colour -v blue "$1"
		setfattr -n trusted.secret -v 1 "$1"; setfattr -n security.label -v x "$1"; setfattr -n user.empty "$1"`,
	'attributes too large to be kept': 'setfattr -n user.large -v "$(head -c 2500 /dev/zero | tr "\\0" x)" "$1"',
};

const LOOK = `cd "$1"; stat -c '%a %u %g %h %s %b %o %F %x %y %z %w' .; ls -ld --time-style=full-iso . | cut -d' ' -f1
getfattr -d -m - -e hex . | sort; getfacl -n . | sort; getfattr -n user.nothing . 2>&1 || true`;
const LOOK_AS_USER = [...['--reuid', '1000', '--regid', '1000', '--clear-groups'], 'getfattr', '-d', '-m', '-', '.'];

for (const [title, prepare] of Object.entries(ROOTS)) {
	const test = canRun ? anyTest : anyTest.skip;
	test(`the directory of a copy is its root directory as the kernel shows it: ${title}`, async (t) => {
		const image = await makeImage(join(temporaryDirectory(t), 'image'), 16, ['-t', 'ext4', '-b', '4096']);
		await withKernelMount(image, 'noatime', (root) => shell(prepare, [root]));
		const kernels = join(temporaryDirectory(t), 'copy');
		copyFileSync(image, kernels);
		const look = async (root: string) => ({
			all: String(await shell(LOOK, [root])),
			user: (await run('setpriv', LOOK_AS_USER, { cwd: root })).stdout.toString(),
		});
		const expected = await withKernelMount(kernels, 'ro', look);
		const copies = [1, 2].map((number) => ({ number, name: nameOf(number), image }));
		const { mountPoint } = await TRANSPORTS[0]!.serve(t, { copies, changedAtMs: 1_700_000_000_500 });
		for (const { name } of copies) t.deepEqual(await look(join(mountPoint, name)), expected);
	});
}

/** A tree of as many copies of an image, and how often one was opened. */
function countingTree(image: string, count: number) {
	const opened = { wholly: 0, briefly: 0, open: 0 };
	const open = () => ExtFileSystem.open(FileDevice.open(image, 'read'));
	const copies = Array.from({ length: count }, (_, i): BrowseCopy => {
		const number = i + 1;
		return {
			number,
			name: nameOf(i),
			createdAtMs: 0,
			open: () => {
				opened.wholly++;
				return open();
			},
			openBriefly: () => {
				opened.briefly++;
				const fs = open();
				const close = fs.close.bind(fs);
				opened.open++;
				fs.close = () => {
					opened.open--;
					close();
				};
				return fs;
			},
			isGone: () => false,
		};
	});
	const tree = new BrowseTree({ log: () => {} });
	tree.setCopies(copies, 0);
	return { tree, copies, opened, client: new PathClient(tree) };
}

const test = programs('mke2fs', 'debugfs') ? anyTest : anyTest.skip;

test('listing the root opens nothing; its directories in detail open each copy once, for a moment', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, ['-t', 'ext4']);
	const { tree, copies, opened, client } = countingTree(image, 50);
	t.is(client.list(client.resolve('/')).length, 52);
	t.deepEqual(opened, { wholly: 0, briefly: 0, open: 0 });
	for (let round = 0; round < 3; round++) {
		for (const { name } of copies) {
			const node = client.resolve(`/${name}`);
			t.is(client.attributes(node).linkCount, 3);
			t.deepEqual(client.listXattrs(node), []);
			t.throws(() => client.getXattr(node, 'security.selinux'), { instanceOf: RequestError });
		}
	}
	t.deepEqual(opened, { wholly: 0, briefly: 50, open: 0 });
	client.resolve(`/${copies[7]!.name}/lost+found`);
	t.deepEqual(opened, { wholly: 1, briefly: 50, open: 0 });

	tree.setCopies(copies.slice(1), 1);
	t.throws(() => client.resolve(`/${copies[0]!.name}`), { instanceOf: RequestError });
	tree.setCopies(copies, 2);
	client.resolve(`/${copies[0]!.name}`);
	client.resolve(`/${copies[1]!.name}`);
	t.deepEqual(opened, { wholly: 1, briefly: 51, open: 0 }, 'of a copy that is gone nothing is kept');
});

test('a copy with a damaged root directory is closed again, and shown as one that cannot be entered', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, ['-t', 'ext4']);
	await runOk('debugfs', ['-w', '-R', 'set_inode_field <2> mode 0', image]);
	const { copies, opened, client } = countingTree(image, 2);
	for (let round = 1; round <= 2; round++) {
		const node = client.resolve(`/${copies[0]!.name}`);
		t.is(client.attributes(node).mode & 0o777, 0o555);
		t.throws(() => client.listXattrs(node), { instanceOf: RequestError });
		t.throws(() => client.resolve(`/${copies[0]!.name}/lost+found`), { instanceOf: RequestError });
		t.is(opened.open, 0);
	}
	if (!canRun) return;
	const { mountPoint } = await TRANSPORTS[0]!.serve(t, {
		copies: [{ number: 1, name: nameOf(0), image }],
		changedAtMs: 0,
	});
	const shown = await runOk('stat', ['--format', '%a %F %w', join(mountPoint, nameOf(0))]);
	t.is(shown.toString(), '555 directory -\n', 'the time of birth is asked for, too');
});
