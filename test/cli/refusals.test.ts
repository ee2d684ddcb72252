/** What a mount is refused for: nothing may stay mounted, and the message says what was found and what to do. */
import { linkSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { noonmark, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup', 'sfdisk', 'setpriv') ? anyTest.serial : anyTest.serial.skip;

interface Refusal {
	readonly code: number;
	readonly error: string;
	readonly says: RegExp;
}

async function refused(t: ExecutionContext, volume: TestVolume, args: string[], expected: Refusal): Promise<void> {
	const before = volume.leftovers();
	const { code, stderr, stdout } = await noonmark(['mount', ...args, '--json']);
	t.is(code, expected.code, stderr);
	t.regex(stderr, /^noonmark: [^\n]+\n$/, 'one line');
	t.regex(stderr, expected.says);
	t.is(JSON.parse(stdout.toString()).error.code, expected.error);
	t.deepEqual(volume.leftovers(), before);
}

test('no such image', async (t) => {
	const volume = new TestVolume(t);
	const image = join(volume.directory, 'nothing.img');
	await refused(t, volume, [image, volume.mountpoint], {
		code: 3,
		error: 'no-such-image',
		says: /there is no such image/,
	});
});

test('an empty image, zeros, another format, a directory', async (t) => {
	const volume = new TestVolume(t);
	const image = join(volume.directory, 'other.img');
	const not = (says: RegExp): Refusal => ({ code: 4, error: 'not-ext', says });
	writeFileSync(image, '');
	await refused(t, volume, [image, volume.mountpoint], not(/is empty; expected an ext2, ext3 or ext4/));
	truncateSync(image, 1 << 20);
	await refused(t, volume, [image, volume.mountpoint], not(/are zeros; expected an ext2/));
	writeFileSync(image, Buffer.alloc(8192, 'PK'));
	await refused(t, volume, [image, volume.mountpoint], not(/begin with 504b504b504b504b/));
	await refused(t, volume, [volume.data, volume.mountpoint], { code: 4, error: 'not-a-disk', says: /is a directory/ });
});

test('an image that was cut short', async (t) => {
	const volume = new TestVolume(t);
	truncateSync(volume.image, 20 << 20);
	const { code, stderr } = await noonmark(['mount', volume.image, volume.mountpoint]);
	t.is(code, 5);
	t.regex(stderr, /blocks?.*device/);
});

test('a partitioned disk: its partitions are listed', async (t) => {
	const volume = new TestVolume(t);
	const disk = join(volume.directory, 'disk');
	await shell('truncate -s 100M "$1"; printf "size=20M\\nsize=30M\\n" | sfdisk -q -X gpt "$1"', [disk]);
	await refused(t, volume, [disk, volume.mountpoint], {
		code: 4,
		error: 'partitioned',
		says: /partitioned disk \(GPT\): 1 \(.*, 0\.02 GiB at byte 1048576\), 2 \(.*losetup --partscan/,
	});
});

test('an image that somebody uses: another Noonmark, a loop device', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const other = join(volume.directory, 'other');
	mkdirSync(other);
	await refused(t, volume, [volume.image, other], {
		code: 4,
		error: 'image-in-use',
		says: /Noonmark already \(pid \d+, mounted on/,
	});
	await noonmark(['unmount', volume.image]);
	await runOk('mount', ['-o', 'loop', volume.image, volume.data]);
	const args = [volume.image, volume.mountpoint];
	await refused(t, volume, args, {
		code: 4,
		error: 'image-in-use',
		says: /in use by \/dev\/loop\d+, mounted on .*data/,
	});
	const linked = join(volume.directory, 'linked.img');
	linkSync(volume.image, linked);
	await refused(t, volume, [linked, volume.mountpoint], {
		code: 4,
		error: 'image-in-use',
		says: /linked\.img: in use by \/dev\/loop\d+, mounted on .*data/,
	});
	await runOk('umount', [volume.data]);
});

test('a block device that is mounted; one that is free', async (t) => {
	const volume = new TestVolume(t);
	const device = (await runOk('losetup', ['--find', '--show', volume.image])).toString().trim();
	t.teardown(() => run('losetup', ['--detach', device]));
	const storage = join(volume.directory, 'storage');
	const args = [device, volume.mountpoint, '--storage', storage];
	await runOk('mount', [device, volume.data]);
	await refused(t, volume, args, {
		code: 4,
		error: 'image-in-use',
		says: /a mount of the device itself, mounted on .*data/,
	});
	await runOk('umount', [volume.data]);
	await noonmarkOk(['mount', ...args, '--data', volume.data]);
	t.teardown(() => noonmark(['unmount', device]));
	t.not((await run('mount', [device, '/mnt'])).code, 0, 'the kernel lets nobody else mount it');
	await shell('echo one > "$1/file"', [volume.data]);
	await noonmarkOk(['create', device]);
	await noonmarkOk(['unmount', device]);
	await shell('mount "$1" "$2"; touch "$2/behind"; umount "$2"', [device, volume.data]);
	await refused(t, volume, args, {
		code: 4,
		error: 'volume-changed',
		says: /left at superblock [0-9a-f]{8}, now it is at/,
	});
});

test('mount points: missing, a file, not empty, inside one another, over the image or the storage', async (t) => {
	const volume = new TestVolume(t);
	const { image, mountpoint, data, directory } = volume;
	const inside = join(data, 'inside');
	const file = join(directory, 'file');
	writeFileSync(file, '');
	await refused(t, volume, [image, join(directory, 'missing')], { code: 3, error: 'no-mount-point', says: /mkdir -p/ });
	await refused(t, volume, [image, file], { code: 4, error: 'wrong-mount-point', says: /not a directory/ });
	mkdirSync(inside);
	await refused(t, volume, [image, data], { code: 4, error: 'mount-point-not-empty', says: /it has inside/ });
	await refused(t, volume, [image, inside, '--data', mountpoint, '--storage', join(mountpoint, 's')], {
		code: 4,
		error: 'nested-paths',
		says: /the storage may not lie inside/,
	});
	await refused(t, volume, [image, mountpoint, '--data', mountpoint], {
		code: 4,
		error: 'nested-paths',
		says: /may lie inside/,
	});
	await refused(t, volume, [image, mountpoint, '--storage', file], {
		code: 4,
		error: 'storage-no-directory',
		says: /file: the storage is no directory/,
	});
	await refused(t, volume, [image, mountpoint, '--storage', '/proc/storage'], {
		code: 1,
		error: 'failed',
		says: /ENOENT: .*mkdir '\/proc\/storage'/,
	});
	await refused(t, volume, [image, mountpoint, '--live', image], {
		code: 4,
		error: 'live-not-empty',
		says: /one of \d+ bytes; remove it, or name another with --live/,
	});
});

test('a feature that this version does not read is refused by its name', async (t) => {
	const volume = new TestVolume(t);
	// Sets the incompat bit of Lustre's dirdata (0x1000); the checksum of the superblock goes with it.
	await shell('debugfs -w -R "feature dirdata" "$1" 2>/dev/null || debugfs -w -R "feature FEATURE_I12" "$1"', [
		volume.image,
	]);
	const { code, stderr } = await noonmark(['mount', volume.image, volume.mountpoint]);
	t.is(code, 4, stderr);
	t.regex(stderr, /dirdata/);
});

test('who is not root is told to be', async (t) => {
	const volume = new TestVolume(t);
	const main = join(import.meta.dirname, '..', '..', 'cli', 'main.js');
	const args = [
		'--reuid=65534',
		'--regid=65534',
		'--clear-groups',
		process.execPath,
		main,
		'mount',
		volume.image,
		volume.mountpoint,
	];
	const { code, stderr } = await run('setpriv', args, { env: { ...process.env, HOME: '/' } });
	t.is(code, 4, stderr);
	t.regex(stderr, /needs root.*sudo/);
});
