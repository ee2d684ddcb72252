import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Whether the mount tests can run here: root with /dev/fuse and loop devices. */
export const canMount = process.getuid?.() === 0 && isThere('/dev/fuse') && isThere('/dev/loop-control');

/** True where every program is on the PATH. In CI a missing program is an error: a skip there would hide a failure. */
export function programs(...names: string[]): boolean {
	const directories = (process.env.PATH ?? '').split(delimiter);
	const missing = names.filter((name) => !directories.some((directory) => isThere(join(directory, name))));
	if (missing.length > 0 && process.env.CI) throw new Error(`missing programs: ${missing.join(' ')}`);
	return missing.length === 0;
}

function isThere(path: string): boolean {
	try {
		accessSync(path, constants.F_OK);
		return true;
	} catch {
		return false;
	}
}
