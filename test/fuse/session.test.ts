import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { type ServedMount, serveMount } from '../helpers/fuse-mount.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = canMount ? anyTest : anyTest.skip;
const serialTest = canMount ? anyTest.serial : anyTest.skip;

function serveFaulty(t: ExecutionContext, threads = 1) {
	const path = join(temporaryDirectory(t), 'file');
	writeFileSync(path, '');
	return serveMount(t, {
		mountPoint: path,
		root: 'file',
		source: 'faulty',
		readOnly: true,
		allowOther: true,
		handlerModule: new URL('./faulty-server.js', import.meta.url).href,
		handlerData: undefined,
		threads,
	});
}

/** Whether so many messages hold the text: they come from another thread, some time after the answer that they are about. */
async function logged({ messages }: ServedMount, text: string, count: number): Promise<boolean> {
	for (let attempt = 0; attempt < 100; attempt++) {
		if (messages.filter((message) => message.includes(text)).length >= count) return true;
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
	return false;
}

test('attributes travel whole: 64-bit numbers, times before 1970 and past 2038 with their nanoseconds', async (t) => {
	const { mountPoint } = serveFaulty(t);
	const stat = await runOk('stat', ['-c', '%i %f %h %s %b %.9X %.9Y %.9Z', mountPoint]);
	t.is(
		stat.toString().trim(),
		`${(0x01020304n << 32n) | 0xfffffffen} 81a4 1 1 1 -0.999999995 -2147483647.000000001 17179869183.000000000`,
	);
});

test('a handler that throws answers EIO or the errno of its error, is logged, and the mount goes on', async (t) => {
	const mount = serveFaulty(t);
	for (let i = 0; i < 3; i++) {
		const read = await run('cat', [mount.mountPoint]);
		t.is(read.stderr, `cat: ${mount.mountPoint}: Input/output error\n`);
	}
	if (programs('getfattr')) {
		t.regex((await run('getfattr', ['-n', 'user.x', mount.mountPoint])).stderr, /Operation not supported/);
	}
	await runOk('stat', [mount.mountPoint]);
	t.true(await logged(mount, 'a bug in a handler', 3));
});

test('a reply that the kernel refuses is followed by EIO: nobody waits for ever', async (t) => {
	const mount = serveFaulty(t);
	const script = 'import os,sys\ntry: os.listxattr(sys.argv[1])\nexcept OSError as e: print(e.errno)';
	t.is((await runOk('python3', ['-c', script, mount.mountPoint])).toString(), '5\n');
	t.true(await logged(mount, 'the kernel refused the reply', 1));
});

test('an unknown operation answers ENOSYS', async (t) => {
	const { mountPoint } = serveFaulty(t);
	const statfs = await run('stat', ['-f', mountPoint]);
	t.regex(statfs.stderr, /Function not implemented/);
});

const ONE_IS_STUCK = `
import os, sys, threading, time
path, answered = sys.argv[1], []
for i in range(2000): os.stat(path)
def slow():
	try: os.getxattr(path, 'user.slow')
	except OSError: answered.append('slow')
stuck = threading.Thread(target=slow)
stuck.start()
time.sleep(0.3)
os.stat(path)
answered.append('stat')
stuck.join()
print(answered)
`;

test('a session that had stood back answers while the one that served alone is stuck in a request', async (t) => {
	const { mountPoint } = serveFaulty(t, 2);
	t.is((await runOk('python3', ['-c', ONE_IS_STUCK, mountPoint])).toString(), "['stat', 'slow']\n");
});

test('unmounting ends every session that sleeps on the descriptor', async (t) => {
	const mount = serveFaulty(t, 3);
	await runOk('stat', [mount.mountPoint]);
	await mount.stop();
	t.deepEqual(
		mount.messages.filter((message) => message.startsWith('session')),
		Array(3).fill('session ended: unmounted'),
	);
});

// Serial: it measures the whole process, in which other tests of this file would run meanwhile.
serialTest('an idle session sleeps', async (t) => {
	const mount = serveFaulty(t, 2);
	await runOk('stat', [mount.mountPoint]);
	await new Promise((resolve) => setTimeout(resolve, 300));
	const before = process.cpuUsage();
	await new Promise((resolve) => setTimeout(resolve, 1000));
	const used = process.cpuUsage(before);
	t.true(used.user + used.system < 200_000, `${used.user + used.system} µs of CPU in a second of nothing to do`);
});
