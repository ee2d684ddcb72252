import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk } from '../helpers/run.ts';
import { eventually, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;

/** A volume whose service was killed, and another one: every mount clears up after all that were killed. */
async function killed(t: ExecutionContext): Promise<{ dead: TestVolume; other: TestVolume }> {
	const [other, dead] = [new TestVolume(t), new TestVolume(t)];
	await dead.mount();
	const pid = await dead.pid();
	process.kill(pid, 'SIGKILL');
	// Dead is enough: whoever should reap it may take its time.
	await eventually('the service is dead', () => !existsSync(`/proc/${pid}/fd/0`));
	return { dead, other };
}

test('what stood on a service that was killed is cleared away by the next mount, wherever it is mounted', async (t) => {
	const { dead, other } = await killed(t);
	const elsewhere = join(dead.directory, 'elsewhere');
	mkdirSync(elsewhere);
	await runOk('mount', ['--bind', dead.data, elsewhere]);
	t.teardown(() => run('umount', ['--lazy', elsewhere]));
	await other.mount();
	await eventually('the loop device is given up', () => dead.leftovers().length === 0);
	t.deepEqual(dead.leftovers(), []);
});

test('what was mounted on the data directory since is not touched', async (t) => {
	const { dead, other } = await killed(t);
	await runOk('umount', ['--lazy', dead.data]);
	await runOk('mount', ['-t', 'tmpfs', 'tmpfs', dead.data]);
	t.teardown(() => run('umount', ['--lazy', dead.data]));
	await other.mount();
	await eventually('no loop device is left', () => dead.leftovers().every((line) => line.startsWith('tmpfs ')));
	t.true(readFileSync('/proc/self/mounts', 'utf8').includes(`tmpfs ${dead.data} `));
});
