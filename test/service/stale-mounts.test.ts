import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk } from '../helpers/run.ts';
import { eventually, noonmark, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;

async function killed(t: ExecutionContext): Promise<TestVolume> {
	const dead = new TestVolume(t);
	await dead.mount();
	const pid = await dead.pid();
	process.kill(pid, 'SIGKILL');
	// Dead is enough: whoever should reap it may take its time.
	await eventually('the service is dead', () => !existsSync(`/proc/${pid}/fd/0`));
	return dead;
}

test('what stood on a service that was killed is cleared away by the next mount of its image, wherever it is mounted', async (t) => {
	const dead = await killed(t);
	const elsewhere = join(dead.directory, 'elsewhere');
	mkdirSync(elsewhere);
	await runOk('mount', ['--bind', dead.data, elsewhere]);
	t.teardown(() => run('umount', ['--lazy', elsewhere]));
	await noonmarkOk(['mount', dead.image, dead.mountpoint]);
	await noonmarkOk(['unmount', dead.image]);
	await eventually('the loop device is given up', () => dead.leftovers().length === 0);
	t.is((await run('mountpoint', [elsewhere])).code, 32, 'nothing is mounted elsewhere either');
});

test('of two mounts of one image at once the second is refused, and the first one works', async (t) => {
	const volume = new TestVolume(t);
	const other = join(volume.directory, 'other');
	mkdirSync(other);
	for (let round = 0; round < 4; round++) {
		const mounts = [volume.mountpoint, other].map((mountpoint) => noonmark(['mount', volume.image, mountpoint]));
		const codes = (await Promise.all(mounts)).map(({ code }) => code);
		t.deepEqual(codes.sort(), [0, 4]);
		await noonmarkOk(['unmount', volume.image]);
		t.deepEqual(volume.leftovers(), []);
	}
});

test('of two mounts of two images at once on one mount point or data directory the second is refused', async (t) => {
	const volumes = [new TestVolume(t), new TestVolume(t)] as const;
	for (const options of [
		(_: TestVolume) => [volumes[0].mountpoint],
		({ mountpoint }: TestVolume) => [mountpoint, '--data', volumes[0].data],
	]) {
		const mounts = await Promise.all(volumes.map((volume) => noonmark(['mount', volume.image, ...options(volume)])));
		t.deepEqual(mounts.map(({ code }) => code).sort(), [0, 4], mounts.map(({ stderr }) => stderr).join());
		const [first, second] = mounts[0]!.code === 0 ? volumes : [volumes[1], volumes[0]];
		t.is((await noonmark(['unmount', second.image])).code, 3);
		await noonmarkOk(['create', first.image]);
		await noonmarkOk(['unmount', first.image]);
		t.deepEqual([...first.leftovers(), ...second.leftovers()], []);
	}
});

test('who is slow to clear away takes nothing from a mount that comes to the same place', async (t) => {
	for (const ofOther of [true, false]) {
		const dead = await killed(t);
		const next = ofOther ? new TestVolume(t) : dead;
		const [bin, begun] = [join(dead.directory, 'bin'), join(dead.directory, 'begun')];
		mkdirSync(bin);
		const umount = `#!/bin/sh\nPATH=${process.env.PATH}\numount "$@" || exit\ntouch ${begun}\nsleep 3\n`;
		writeFileSync(join(bin, 'umount'), umount, { mode: 0o755 });
		const clearing = noonmark(['unmount', dead.image], {
			env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
		});
		await eventually('it clears away', () => existsSync(begun));
		await noonmarkOk(['mount', next.image, dead.mountpoint, '--data', next.data]);
		const { code, stderr } = await clearing;
		t.is(code, 0, stderr);
		for (const path of [dead.mountpoint, next.data]) t.is((await run('mountpoint', [path])).code, 0, path);
		await noonmarkOk(['unmount', next.image]);
		t.deepEqual([...dead.leftovers(), ...next.leftovers()], []);
	}
});

test('a mount of another image leaves it: who looks there gets an error, not an empty directory', async (t) => {
	const dead = await killed(t);
	const other = new TestVolume(t);
	await other.mount();
	t.regex((await run('ls', [dead.mountpoint])).stderr, /not connected/);
	await noonmark(['unmount', other.image]);
	await dead.mount();
	t.is((await run('ls', [dead.mountpoint])).code, 0);
});

test('what was mounted on the data directory since is not touched', async (t) => {
	const dead = await killed(t);
	await runOk('umount', ['--lazy', dead.data]);
	await runOk('mount', ['-t', 'tmpfs', 'tmpfs', dead.data]);
	t.teardown(() => run('umount', ['--lazy', dead.data]));
	await noonmarkOk(['mount', dead.image, dead.mountpoint]);
	await noonmarkOk(['unmount', dead.image]);
	await eventually('no loop device is left', () => dead.leftovers().every((line) => line.startsWith('tmpfs ')));
	t.true(readFileSync('/proc/self/mounts', 'utf8').includes(`tmpfs ${dead.data} `));
});

test('a loop device that another mount takes as soon as it is given up is not touched', async (t) => {
	const dead = await killed(t);
	const [bin, other] = [join(dead.directory, 'bin'), join(dead.directory, 'other')];
	mkdirSync(bin);
	writeFileSync(other, Buffer.alloc(4096));
	const umount = `#!/bin/sh
PATH=${process.env.PATH}
loop=$(findmnt --noheadings --output SOURCE ${dead.data})
umount "$@" || exit
losetup "$loop" ${other} || losetup --find ${other}
`;
	writeFileSync(join(bin, 'umount'), umount, { mode: 0o755 });
	const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
	await noonmarkOk(['unmount', dead.image], { env });
	const { length } = dead.leftovers();
	t.is(length, 1, 'the loop device over the other file');
	t.true(String(await runOk('losetup', ['--associated', other])).startsWith('/dev/loop'));
});

test('a loop device that somebody else detaches and takes before it is mounted is not mounted', async (t) => {
	const [volume, other] = [new TestVolume(t), new TestVolume(t)];
	const bin = join(volume.directory, 'bin');
	mkdirSync(bin);
	const losetup = `#!/bin/sh
PATH=${process.env.PATH}
loop=$(losetup "$@") || exit
case "$*" in *--show*) losetup --detach "$loop" && losetup "$loop" ${other.image};; esac
echo "$loop"
`;
	writeFileSync(join(bin, 'losetup'), losetup, { mode: 0o755 });
	const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
	const { code, stderr } = await noonmark(['mount', volume.image, volume.mountpoint, '--data', volume.data], { env });
	t.is(code, 1);
	t.regex(stderr, /loop\d+: was detached by somebody else/);
	t.deepEqual(volume.leftovers(), []);
	const loop = String(await runOk('losetup', ['--associated', other.image])).split(':')[0]!;
	t.true(loop.startsWith('/dev/loop'), 'theirs is not detached');
	await runOk('losetup', ['--detach', loop]);
});
