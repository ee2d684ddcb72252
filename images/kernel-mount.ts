import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, runOk } from '../test/helpers/run.ts';

/**
 * Mounts an image file with the kernel's own driver, calls `action` with the mount point, and unmounts again whatever
 * happens. `options` are mount(8)'s, `loop` is added. Needs root.
 */
export async function withKernelMount<T>(
	image: string,
	options: string,
	action: (mountPoint: string) => Promise<T>,
): Promise<T> {
	const mountPoint = mkdtempSync(join(tmpdir(), 'noonmark-mount-'));
	try {
		await runOk('mount', ['-o', `loop,${options}`, image, mountPoint]);
		try {
			return await action(mountPoint);
		} finally {
			const result = await run('umount', [mountPoint]);
			if (result.code !== 0) await runOk('umount', ['-l', mountPoint]);
		}
	} finally {
		rmdirSync(mountPoint);
	}
}
