/** What freezes must thaw: whoever asks, and also when nobody is left to ask. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { FileSystemWriter } from '../../src/service/file-system-writer.ts';
import { type DeviceMount, deviceNumber } from '../../src/service/loop-mounts.ts';
import { findMount } from '../../src/system/mountinfo.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = canMount && programs('mke2fs', 'fsfreeze', 'losetup') ? anyTest.serial : anyTest.serial.skip;

const SHUT_DOWN = join(import.meta.dirname, '../../src/service/shut-down-file-system.js');

async function mounted(t: ExecutionContext): Promise<DeviceMount> {
	const directory = temporaryDirectory(t);
	const [image, mountPoint] = [join(directory, 'image'), join(directory, 'mount')];
	writeFileSync(image, '');
	truncateSync(image, 16 << 20);
	mkdirSync(mountPoint);
	await runOk('mke2fs', ['-q', '-F', '-t', 'ext4', image]);
	await runOk('mount', ['-o', 'loop', image, mountPoint]);
	t.teardown(async () => {
		await run('fsfreeze', ['--unfreeze', mountPoint]);
		await run('umount', [mountPoint]);
	});
	return { mountPoint, majorMinor: findMount(mountPoint)!.majorMinor };
}

/** Freezing what is frozen is refused: that is how it is told. */
async function isFrozen(mountPoint: string): Promise<boolean> {
	if ((await run('fsfreeze', ['--freeze', mountPoint])).code !== 0) return true;
	await runOk('fsfreeze', ['--unfreeze', mountPoint]);
	return false;
}

test('a file system is frozen from freeze to thaw, one time after the other', async (t) => {
	const mount = await mounted(t);
	const { mountPoint } = mount;
	for (let i = 0; i < 2; i++) {
		const writer = new FileSystemWriter(mount);
		await writer.prepare();
		t.false(await isFrozen(mountPoint));
		await writer.freeze();
		t.true(await isFrozen(mountPoint));
		await writer.thaw();
		t.false(await isFrozen(mountPoint));
	}
});

test('a freeze that nobody waits for any more is undone when it comes through', async (t) => {
	const mount = await mounted(t);
	const { mountPoint } = mount;
	const writer = new FileSystemWriter(mount);
	const freezing = writer.freeze();
	await writer.thaw();
	await freezing;
	await runOk('touch', [join(mountPoint, 'file')]);
	t.false(await isFrozen(mountPoint));
});

test('what cannot be frozen says why, and is not thawed', async (t) => {
	const mount = await mounted(t);
	const { mountPoint } = mount;
	await runOk('fsfreeze', ['--freeze', mountPoint]);
	const writer = new FileSystemWriter(mount);
	await t.throwsAsync(writer.freeze(), { code: 'tool-failed', message: /fsfreeze: .*busy/ });
	await t.throwsAsync(writer.thaw(), { code: 'tool-failed' });
	t.true(await isFrozen(mountPoint));
});

test('what is on the mount point by now is neither frozen nor shut down', async (t) => {
	const [mount, other] = [await mounted(t), await mounted(t)];
	const { mountPoint } = other;
	const writer = new FileSystemWriter({ ...mount, mountPoint });
	await writer.prepare();
	await t.throwsAsync(writer.freeze(), { code: 'tool-failed', message: /not mounted on .* any more/ });
	t.false(await isFrozen(mountPoint));
	const shutDown = (device: bigint) => run(process.execPath, [SHUT_DOWN, mountPoint, String(device)]);
	t.regex((await shutDown(deviceNumber(mount.majorMinor))).stderr, /is on device/);
	await runOk('touch', [join(mountPoint, 'file')]);
	t.is((await shutDown(deviceNumber(other.majorMinor))).stderr, '');
	t.regex((await run('touch', [join(mountPoint, 'file')])).stderr, /error/);
});

test('killed while it has frozen, the service leaves nothing frozen', async (t) => {
	const mount = await mounted(t);
	const { mountPoint } = mount;
	const module = new URL('../../src/service/file-system-writer.js', import.meta.url).href;
	const script = `
		const { FileSystemWriter } = await import(${JSON.stringify(module)});
		await new FileSystemWriter(${JSON.stringify(mount)}).freeze();
		console.log('frozen');
		setInterval(() => {}, 1000);`;
	const service = spawn(process.execPath, ['--input-type=module', '-e', script], {
		stdio: ['ignore', 'pipe', 'inherit'],
		timeout: 30_000,
		killSignal: 'SIGKILL',
	});
	t.teardown(() => service.kill('SIGKILL'));
	await once(service.stdout, 'data');
	service.kill('SIGKILL');
	await runOk('touch', [join(mountPoint, 'file')]); // waits as long as it is frozen
	t.false(await isFrozen(mountPoint));
});
