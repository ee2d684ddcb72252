import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest from 'ava';
import { ChunkIndex } from '../../src/diff/chunk-index.ts';
import { EpochTable } from '../../src/diff/epoch-table.ts';
import { RecordTable } from '../../src/diff/record-table.ts';
import { BrowseMount } from '../../src/service/browse-mount.ts';
import { findMount } from '../../src/system/mountinfo.ts';
import { canMount } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = canMount ? anyTest.serial : anyTest.serial.skip;

test('threads that crash again and again are given up, and whoever waits for the mount is told', async (t) => {
	const mountPoint = join(temporaryDirectory(t), 'previous');
	mkdirSync(mountPoint);
	t.teardown(() => run('umount', ['--lazy', mountPoint]));
	const diffArea = {
		directory: '/no/such/storage',
		volumeId: '',
		volumeSizeBytes: 1 << 20,
		chunkSizeBytes: 16384,
		index: ChunkIndex.create(64, 64).share,
		epochs: EpochTable.create(1).share,
		records: RecordTable.create().share,
	};
	const device = { kind: 'diff-area', volumePath: '/no/such/image', diffArea, epoch: 1 } as const;
	const copy = { number: 1, name: '@GMT-2026.11.22-10.20.00', createdAtMs: 0, device };
	const mount = new BrowseMount(
		{ mountPoint, source: 'noonmark', allowOther: false, cacheBytes: 1 << 20 },
		{ copies: [copy], changedAtMs: 0, replayJournal: true },
	);
	const outcome = await Promise.race([mount.ended.then(() => 'ended'), delay(30_000, 'still served')]);
	t.is(outcome, 'ended');
	mount.unmount({ detach: true });
	t.is(findMount(mountPoint), undefined);
});
