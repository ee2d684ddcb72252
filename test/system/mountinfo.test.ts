import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { findMount, parseMountInfo } from '../../src/system/mountinfo.ts';
import { canMount } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

test('a line is taken apart: optional fields, escapes, bytes that are no UTF-8, a source that is empty', (t) => {
	const lines = Buffer.from(
		[
			'36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue',
			'44 26 0:40 / /a\\040b\\011c\\012d\\134e\\043f\xe9 ro - fuse.noonmark /a\\040disk ro',
			'45 26 0:41 / /plain rw - tmpfs  rw',
			'',
		].join('\n'),
		'latin1',
	);
	const [ext3, fuse, tmpfs] = parseMountInfo(lines);
	t.deepEqual(ext3, {
		mountId: 36,
		majorMinor: '98:0',
		root: Buffer.from('/mnt1'),
		mountPoint: Buffer.from('/mnt2'),
		type: 'ext3',
		source: Buffer.from('/dev/root'),
	});
	t.like(fuse, {
		mountPoint: Buffer.from('/a b\tc\nd\\e#f\xe9', 'latin1'),
		type: 'fuse.noonmark',
		source: Buffer.from('/a disk'),
	});
	t.like(tmpfs, { majorMinor: '0:41', type: 'tmpfs', source: Buffer.alloc(0) });
});

test('a line that is none throws', (t) => {
	t.throws(() => parseMountInfo(Buffer.from('36 35 98:0 /mnt1\n')), { message: /not understood/ });
});

(canMount ? test : test.skip)('of two mounts on one path the upper one is found', async (t) => {
	const point = join(temporaryDirectory(t), 'a point\\with # and\ttab');
	mkdirSync(point);
	t.is(findMount(point), undefined);
	for (const source of ['lower one', 'upper']) {
		await runOk('mount', ['-t', 'tmpfs', source, point]);
		t.teardown(() => runOk('umount', [point]).then(() => {}));
		t.is(findMount(point)?.source.toString(), source);
	}
});
