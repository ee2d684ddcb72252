import { closeSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import {
	type FuseMount,
	isMounted,
	type MountOptions,
	mountFuse,
	raiseReadAhead,
	unmount,
} from '../../src/fuse/mount.ts';
import { findMount } from '../../src/system/mountinfo.ts';
import { canMount } from '../helpers/requires.ts';
import { run } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = canMount ? anyTest : anyTest.skip;

function options(mountPoint: string, changes: Partial<MountOptions> = {}): MountOptions {
	return { mountPoint, root: 'directory', source: 'a source', readOnly: true, allowOther: true, ...changes };
}

/** A mount that nobody serves: whoever looks at it waits until its descriptor is closed. */
function mountUnserved(t: ExecutionContext, name = 'point'): FuseMount {
	const point = join(temporaryDirectory(t), name);
	mkdirSync(point);
	const mount = mountFuse(options(point));
	t.teardown(() => unmount(mount, { detach: true }));
	return mount;
}

test('a mount shows in mountinfo with its options, and unmounting twice is no error', (t) => {
	const mount = mountUnserved(t, 'a mount point');
	const entry = findMount(mount.mountPoint);
	t.like(entry, { majorMinor: mount.majorMinor, type: 'fuse.noonmark', source: Buffer.from('a source') });
	const line = readFileSync('/proc/self/mounts', 'utf8')
		.split('\n')
		.findLast((text) => text.includes('a\\040mount\\040point'));
	t.regex(line!, / ro,nosuid,nodev,noatime,user_id=0,group_id=0,default_permissions,allow_other /);
	t.true(raiseReadAhead(mount.majorMinor));
	t.is(readFileSync(`/sys/class/bdi/${mount.majorMinor}/read_ahead_kb`, 'utf8'), '1024\n');
	unmount(mount, { detach: false });
	t.is(findMount(mount.mountPoint), undefined);
	unmount(mount, { detach: false });
	closeSync(mount.fd);
});

test('what another image is mounted with on the same mount point is not unmounted in its place', (t) => {
	const mount = mountUnserved(t);
	closeSync(mount.fd);
	unmount(mount, { detach: true });
	const other = mountFuse(options(mount.mountPoint, { source: 'another source' }));
	t.teardown(() => closeSync(other.fd));
	t.teardown(() => unmount(other, { detach: true }));
	unmount(mount, { detach: false });
	unmount(mount, { detach: true });
	t.true(isMounted(other));
	t.false(isMounted(mount));
});

test('mount points that cannot be are refused by name', (t) => {
	const directory = temporaryDirectory(t);
	const file = join(directory, 'file');
	writeFileSync(file, '');
	t.throws(() => mountFuse(options(join(directory, 'nothing'))), { code: 'no-mount-point' });
	t.throws(() => mountFuse(options(file)), { code: 'wrong-mount-point' });
	t.throws(() => mountFuse(options(directory, { root: 'file' })), { code: 'wrong-mount-point' });
	t.throws(() => mountFuse(options(join(file, 'below'))), { code: 'wrong-mount-point' });
});

test('what a dead service left behind is refused, and can be unmounted', (t) => {
	const mount = mountUnserved(t);
	closeSync(mount.fd);
	t.throws(() => mountFuse(options(mount.mountPoint)), { code: 'mount-point-busy', message: /umount / });
	unmount(mount, { detach: false });
	t.is(findMount(mount.mountPoint), undefined);
});

test('a mount whose service hangs is refused without being touched; ending its connection frees who waits there', async (t) => {
	const mount = mountUnserved(t);
	const reader = run('ls', [mount.mountPoint], { timeoutMs: 20_000 });
	await new Promise((resolve) => setTimeout(resolve, 300));
	t.throws(() => mountFuse(options(mount.mountPoint)), { code: 'mount-point-busy' });
	closeSync(mount.fd); // the end of its service
	t.regex((await reader).stderr, /not connected|abort/i);
});
