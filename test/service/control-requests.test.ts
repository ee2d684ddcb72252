/** Requests whose fields are of the wrong type, to a service that has something to lose. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { ask } from '../../src/control/client.ts';
import type { ControlRequest, StorageReport } from '../../src/control/messages.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { socketPathIn, volumeDirectory } from '../../src/service/runtime-directory.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { noonmarkJson, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'losetup') ? anyTest.serial : anyTest.serial.skip;

const NAME = '@GMT-2026.01.01-00.00.00';
const WRONG: readonly unknown[] = [
	{ verb: 'create', noWriters: 'yes' },
	...[5, null, 'all', [], {}, { all: false }, { oldest: 1 }, { named: 'all' }, { named: [5] }].map((which) => ({
		verb: 'delete',
		which,
	})),
	{ verb: 'delete', which: { named: [], all: true } },
	{ verb: 'delete' },
	...['x', null, 5, [], {}, { bytes: 'x' }, { bytes: -1 }, { bytes: 0.5 }, { bytes: null }, { percent: '5' }].map(
		(maximumSize) => ({ verb: 'resize', maximumSize }),
	),
	{ verb: 'resize', maximumSize: { bytes: 2 ** 60 } },
	{ verb: 'resize', maximumSize: { percent: 0 } },
	{ verb: 'resize' },
	{ verb: 'inspect', copy: {}, selection: {} },
	{ verb: 'inspect', copy: NAME },
	{ verb: 'inspect', copy: NAME, selection: { path: 5 } },
	{ verb: 'inspect', copy: NAME, selection: { inodeNumber: '2' } },
	{ verb: 'inspect', copy: NAME, selection: { replayJournal: 0 } },
	{ verb: 'mount' },
	{ verb: '__proto__' },
];

test('each is refused by name, changes nothing, and ends nothing', async (t) => {
	const volume = new TestVolume(t);
	await volume.mount();
	const copy = await volume.create();
	const directory = volumeDirectory(volume.image);
	const socketPath = socketPathIn(directory, { pid: await volume.pid() });
	const maximumBytes = async () => (await ask<StorageReport>(socketPath, { verb: 'storage' })).maximumBytes;
	const before = await maximumBytes();
	for (const request of WRONG) {
		const text = JSON.stringify(request);
		const error = await t.throwsAsync(ask(socketPath, request as ControlRequest), undefined, text);
		t.true(error instanceof NoonmarkError && error.code === 'bad-request', `${text}: ${error?.message}`);
		t.regex(error!.message, /^the (request to \w+ cannot have .*|volume service does not know the verb ".*")$/);
	}
	t.is(await maximumBytes(), before);
	t.is(readFileSync(`${directory}.log`, 'utf8'), '');
	await noonmarkJson(['unmount', volume.image]);
	await volume.mount();
	t.deepEqual(
		(await volume.list()).map(({ id }) => id),
		[copy.id],
	);
	t.is((await run('stat', [join(copy.path, 'lost+found')])).code, 0);
});
