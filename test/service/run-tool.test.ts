import test from 'ava';
import { runTool } from '../../src/service/run-tool.ts';

test('what a program prints, and how it fails', async (t) => {
	t.is(await runTool('echo', ['one']), 'one\n');
	t.is(await runTool('echo', ['in time'], 60_000), 'in time\n');
	await t.throwsAsync(runTool('sh', ['-c', 'echo no >&2; exit 3']), { code: 'tool-failed', message: /: no$/ });
	await t.throwsAsync(runTool('no-such-program', []), { code: 'tool-missing' });
});

test('a program that does not end is not waited for', async (t) => {
	await t.throwsAsync(runTool('sleep', ['100'], 50), {
		code: 'tool-hangs',
		message: 'sleep 100: has not ended for 0.05 s',
	});
});
