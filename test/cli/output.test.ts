/** A path may hold what ends a line or steers a terminal: nothing that is printed for people does. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { noonmark, noonmarkJson, type ShadowCopyJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;
const HELPER = join(import.meta.dirname, '..', '..', 'cli', 'mount-helper.js');
const NAME = 'a\ndeleted @GMT-2000.01.01-00.00.00\r\u001b[2J\u009bb';
const SHOWN = 'a?deleted @GMT-2000.01.01-00.00.00??[2J?b';

test('output for people has the lines that the command means, and JSON the name as it is', async (t) => {
	const volume = new TestVolume(t);
	const mountpoint = join(volume.directory, NAME);
	const storage = join(volume.directory, `storage of ${NAME}`);
	mkdirSync(mountpoint);
	const said: string[] = [];
	const say = async (args: readonly string[]) => {
		const { stdout, stderr } = await noonmark(args);
		said.push(stdout.toString(), stderr);
		return stdout.toString();
	};
	await say(['mount', volume.image, mountpoint, '--storage', storage]);
	t.regex(await say(['create', mountpoint]), /^@GMT-[^\n]+\n$/);
	t.regex(await say(['resize', mountpoint, '--max-size', '20M']), /^\/[^\n]+ are used\n$/);
	const { shadowCopies } = await noonmarkJson<{ shadowCopies: ShadowCopyJson[] }>(['list', mountpoint]);
	t.is(shadowCopies[0]!.path, join(mountpoint, shadowCopies[0]!.name));
	for (const args of [['status'], ['list'], ['list', 'storage'], ['events'], ['verify']])
		await say([...args, mountpoint]);
	await say(['delete', mountpoint, NAME]);
	await say(['create', join(volume.directory, NAME, NAME)]);
	await say([NAME]);
	await say(['status', `--${NAME}`]);
	await say(['unmount', mountpoint]);
	said.push((await run(process.execPath, [HELPER, volume.image, mountpoint, '-o', NAME])).stderr);
	for (const text of said) t.notRegex(text, /^deleted|(?!\n|\t)\p{Cc}/mu);
	t.true(said.filter((text) => text.includes(SHOWN)).length >= 9, said.join(''));
});
