import { existsSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { eventually, noonmarkJson, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'python3', 'fincore') ? anyTest : anyTest.skip;

const write = (root: string, word: string) =>
	shell('for i in $(seq 600); do for n in 1 2 3 4 5; do echo "$2 $i $n"; done > "$1/file-$i"; done; sync -f "$1"', [
		root,
		word,
	]);

/** Reads the files as they are listed, again and again with the page cache dropped, until the directory is gone. */
const READER = `
import errno, os, sys
root, word, begun = sys.argv[1:]
files = 0
try:
    while True:
        for name in os.listdir(root):
            if not name.startswith('file-'): continue
            fd = os.open(f'{root}/{name}', os.O_RDONLY)
            content = os.read(fd, 4096).decode()
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
            expected = ''.join(f'{word} {name[5:]} {n}\\n' for n in range(1, 6))
            if content != expected: sys.exit(f'{name}: {content!r}')
            files += 1
            if files == 200: open(begun, 'w').close()
except OSError as error:
    if error.errno not in (errno.ENOENT, errno.ESTALE): raise
print(files)`;

test('a copy that is deleted while it is read ahead never shows what is not its own', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount('--max-size', 'unbounded', '--cache-size', '1M');
	await write(volume.data, 'first');
	const first = await volume.create();
	await write(volume.data, 'second');
	const second = await volume.create();
	await write(volume.data, 'third');
	const begun = join(volume.directory, 'begun');
	const reading = run('python3', ['-c', READER, first.path, 'first', begun]);
	await eventually('the reader is at work', () => existsSync(begun));
	await noonmarkJson(['delete', volume.image, first.name]);
	const { code, stdout, stderr } = await reading;
	t.is(code, 0, stderr);
	t.true(Number(stdout) >= 200);
	const rest = await shell('cd "$1"; cat file-* | cut -d" " -f1 | sort | uniq -c', [second.path]);
	t.is(String(rest).trim(), '3000 second');
});

test('a thread that dies while it stores is replaced, and what is listed goes on being stored ahead', async (t) => {
	const volume = new TestVolume(t);
	const died = join(volume.directory, 'died');
	const preload = `--import=${new URL('./dying-store.js', import.meta.url).href}`;
	const env = { ...process.env, NODE_OPTIONS: preload, DYING_STORE: died };
	await noonmarkOk(['mount', volume.image, volume.mountpoint, '--data', volume.data], { env });
	await write(volume.data, 'first');
	const { path } = await volume.create();
	const files = String(await shell('find "$1" -name "file-*"', [path]))
		.trim()
		.split('\n');
	const cached = async (some: readonly string[]) =>
		String(await runOk('fincore', ['--noheadings', '--raw', '--output', 'PAGES', ...some]))
			.split('\n')
			.filter(Number).length;
	let read = 0;
	const readSome = async () => {
		await runOk('cat', files.slice(read, read + 4));
		read += 4;
	};
	await eventually('the thread dies', async () => {
		await readSome();
		return existsSync(died);
	});
	await eventually('files that nobody has read are there', async () => {
		await readSome();
		return (await cached(files.slice(read, read + 200))) > 0;
	});
	t.is(String(await shell('cat "$1"/file-* | cut -d" " -f1 | sort | uniq -c', [path])).trim(), '3000 first');
});
