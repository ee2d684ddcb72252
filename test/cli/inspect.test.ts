import { join } from 'node:path';
import anyTest from 'ava';
import { uncleanWithExternalJournal } from '../helpers/external-journal.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { noonmark, noonmarkJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'debugfs', 'setfattr') ? anyTest.serial : anyTest.serial.skip;

interface Inspection {
	readonly fileSystem: {
		readonly journal: { readonly kind: string };
		readonly superblock: { readonly blockSizeBytes: number };
		readonly inode: { readonly number: number; readonly sizeBytes: number; readonly xattrs: { name: string }[] } | null;
	};
}

test('a file in a shadow copy, as it was; of an image as it is', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('echo old > "$1/file"; setfattr -n user.mark -v 1 "$1/file"; sync -f "$1/file"', [volume.data]);
	const { path, name } = await volume.create();
	await shell('echo changed >> "$1/file"; setfattr -x user.mark "$1/file"; sync -f "$1/file"', [volume.data]);
	for (const args of [[`${path}/file`], [path, 'file'], [`${volume.data}/${name}/file`]]) {
		const { fileSystem } = await noonmarkJson<Inspection>(['inspect', ...args]);
		t.like(fileSystem.inode, { sizeBytes: 4, xattrs: [{ name: 'user.mark' }] });
	}
	const missing = await noonmark(['inspect', `${path}/nothing`, '--json']);
	t.is(missing.code, 3);
	t.is(JSON.parse(missing.stdout.toString()).error.code, 'no-such-file');
	t.is((await noonmark(['inspect', join(volume.mountpoint, '@GMT-1999.01.01-00.00.00')])).code, 3);
	const whileMounted = await noonmarkJson<Inspection>(['inspect', `${path}/file`]);
	await runOk(process.execPath, [join(import.meta.dirname, '..', '..', 'cli', 'main.js'), 'unmount', volume.image]);
	t.deepEqual(await noonmarkJson<Inspection>(['inspect', `${volume.image}/${name}/file`]), whileMounted);
	t.is((await noonmark(['inspect', `${volume.image}/@GMT-1999.01.01-00.00.00`])).code, 3);
	t.is((await noonmark(['inspect', `${volume.image}/${name}`, '--storage', '/no/such/storage'])).code, 3);
	t.is((await noonmark(['inspect', `${volume.image}/${name}`, '--journal', volume.image])).code, 4);

	const { fileSystem } = await noonmarkJson<Inspection>(['inspect', volume.image, '/file']);
	t.like(fileSystem.inode, { sizeBytes: 12, xattrs: [] });
	const text = (await noonmark(['inspect', volume.image, `<${fileSystem.inode!.number}>`])).stdout.toString();
	t.regex(text, /^size +12 bytes/m);
	t.regex(text, /^metadata_csum +read$/m);
});

test('an image with its journal on another device, which is given or told to be missing', async (t) => {
	const { image, journal } = await uncleanWithExternalJournal(t);
	const { fileSystem } = await noonmarkJson<Inspection>(['inspect', image, '/a/b', '--journal', journal]);
	t.like(fileSystem, { journal: { kind: 'needs-replay' }, inode: { sizeBytes: 3893 } });
	const without = await noonmark(['inspect', image, '/a/b', '--json']);
	t.is(without.code, 4);
	t.like(JSON.parse(without.stdout.toString()), { error: { code: 'external-journal' } });
	t.is((await noonmark(['inspect', image, '--journal', '/no/such/device'])).code, 3);
});

test('no image, no file system: exit 3 and 4', async (t) => {
	const volume = new TestVolume(t);
	t.is((await noonmark(['inspect', '/no/such/image'])).code, 3);
	await runOk('dd', ['if=/dev/zero', `of=${volume.image}`, 'bs=4096', 'count=1', 'conv=notrunc', 'status=none']);
	t.is((await noonmark(['inspect', volume.image])).code, 4);
});
