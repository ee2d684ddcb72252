/** What the system calls at boot: mount(8)'s helper, and the unit. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { noonmarkJson, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;
const ROOT = join(import.meta.dirname, '..', '..', '..');
const MAIN = join(ROOT, 'build/cli/main.js');
const UNIT = join(ROOT, 'cli/noonmark@.service');

const helper = (...args: string[]) => run(process.execPath, [join(ROOT, 'build/cli/mount-helper.js'), ...args]);

test('a line of fstab: its options are those of noonmark mount, those for others are left alone', async (t) => {
	const volume = new TestVolume(t);
	const [storage, live] = [join(volume.directory, 'storage'), join(volume.directory, 'live')];
	const options = `rw,nofail,x-systemd.automount,data=${volume.data},live=${live},storage=${storage},max_size=20M,allow_other`;
	const { code, stderr, stdout } = await helper(volume.image, volume.mountpoint, '-o', options);
	t.is(code, 0, stderr);
	t.is(stdout.toString(), '');
	const { volumes } = await noonmarkJson<{ volumes: object[] }>(['status', volume.image]);
	t.like(volumes[0], { data: volume.data, live, storage, readOnly: false });
	t.like(await noonmarkJson(['list', 'storage', volume.image]), { storage: [{ maximumBytes: 20 << 20 }] });
	const mounts = readFileSync('/proc/self/mounts', 'utf8');
	t.regex(mounts.split('\n').find((line) => line.includes(` ${volume.mountpoint} `))!, /allow_other/);
	await runOk('umount', [volume.mountpoint]);
});

test('mount -r and -o ro; mount -f mounts nothing', async (t) => {
	const volume = new TestVolume(t);
	t.is((await helper(volume.image, volume.mountpoint, '-f')).code, 0);
	t.deepEqual(volume.leftovers(), []);
	t.is(
		(await helper(volume.image, volume.mountpoint, '-n', '-v', '-o', 'ro,noatime,no_replay', '-t', 'fuse.noonmark'))
			.code,
		0,
	);
	const { volumes } = await noonmarkJson<{ volumes: object[] }>(['status', volume.image]);
	t.like(volumes[0], { data: null, readOnly: true });
});

test("exit codes are mount(8)'s: 1 for what is not understood, 32 for what cannot be mounted", async (t) => {
	const volume = new TestVolume(t);
	const attempt = async (...args: string[]) => {
		const { code, stderr } = await helper(...args);
		t.regex(stderr, /^mount\.fuse\.noonmark: [^\n]+\n$/);
		return code;
	};
	t.is(await attempt(volume.image), 1);
	t.is(await attempt(volume.image, volume.mountpoint, '-q'), 1);
	t.is(await attempt(volume.image, volume.mountpoint, '-o', 'no_such_option'), 1);
	t.is(await attempt(volume.image, volume.mountpoint, '-o', 'max_size'), 1);
	t.is(await attempt(volume.image, volume.mountpoint, '-o', 'allow_other=1'), 1);
	t.is(await attempt(volume.image, volume.mountpoint, '-o', 'foreground'), 1);
	t.is(await attempt(join(volume.directory, 'nothing'), volume.mountpoint), 32);
	t.is(await attempt(volume.image, join(volume.directory, 'nothing'), '-s', '-o', 'no_such_option'), 32);
	t.deepEqual(volume.leftovers(), []);
});

test('the unit: what it runs at its start mounts, and systemd finds nothing wrong with it', async (t) => {
	const volume = new TestVolume(t);
	const unit = readFileSync(UNIT, 'utf8');
	const command = /^ExecStart=\/usr\/bin\/env noonmark (.*)$/m.exec(unit)![1]!;
	const env = { ...process.env, IMAGE: volume.image, MOUNTPOINT: volume.mountpoint, OPTIONS: `--data ${volume.data}` };
	await shell(`"$1" "$2" ${command}`, [process.execPath, MAIN], { env });
	await shell('echo one > "$1/file"', [volume.data]);
	await noonmarkOk(['create', volume.image]);
	if (!existsSync('/usr/bin/systemd-analyze')) return;
	const instance = join(volume.directory, 'units', 'noonmark@disk.service');
	mkdirSync(join(volume.directory, 'units'));
	await runOk('cp', [UNIT, instance]);
	const verified = await run('systemd-analyze', ['verify', '--man=no', instance]);
	t.false(verified.stderr.includes('noonmark'), verified.stderr);
});
