import { existsSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, shell } from '../helpers/run.ts';
import { eventually, noonmarkJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'python3') ? anyTest : anyTest.skip;

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
	await eventually('the reader is at work', () => existsSync(begun), 30_000);
	await noonmarkJson(['delete', volume.image, first.name]);
	const { code, stdout, stderr } = await reading;
	t.is(code, 0, stderr);
	t.true(Number(stdout) >= 200);
	const rest = await shell('cd "$1"; cat file-* | cut -d" " -f1 | sort | uniq -c', [second.path]);
	t.is(String(rest).trim(), '3000 second');
});
