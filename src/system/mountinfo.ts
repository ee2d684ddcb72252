import { readFileSync } from 'node:fs';

/** One mount of this process's mount namespace: proc_pid_mountinfo(5). */
export interface MountEntry {
	readonly mountId: number;
	/** `major:minor` of the files' st_dev, in decimal. */
	readonly majorMinor: string;
	/** The directory within the file system that is the mount's root. */
	readonly root: Buffer;
	/** Paths are bytes: a mount point need not be valid in any encoding. */
	readonly mountPoint: Buffer;
	/** With its subtype: `fuse.noonmark`. */
	readonly type: string;
	readonly source: Buffer;
}

/** The mounts, in the order of mounting: of several on one mount point the last one is on top. */
export function readMountInfo(): MountEntry[] {
	return parseMountInfo(readFileSync('/proc/self/mountinfo'));
}

/** The mounts at a path that is absolute and free of symbolic links, the one on top last. */
export function mountsAt(mountPoint: string): MountEntry[] {
	const wanted = Buffer.from(mountPoint);
	return readMountInfo().filter((entry) => entry.mountPoint.equals(wanted));
}

/** The one on top of them. */
export const findMount = (mountPoint: string): MountEntry | undefined => mountsAt(mountPoint).at(-1);

/** The mounts in the text of a mountinfo file, in its order. Errors: a line that is none. */
export function parseMountInfo(text: Buffer): MountEntry[] {
	// latin1 maps each byte to one character and back: nothing is lost on the way.
	return text.toString('latin1').split('\n').filter(Boolean).map(parseLine);
}

function parseLine(line: string): MountEntry {
	// Any number of optional fields stands before the lone "-", so the type is found from there.
	const fields = line.split(' ');
	const separator = fields.indexOf('-', 6);
	const [mountId, , majorMinor, root, mountPoint] = fields;
	const [type, source] = fields.slice(separator + 1);
	if (separator < 0 || !mountPoint || !type) throw new Error(`/proc/self/mountinfo: not understood: ${line}`);
	return {
		mountId: Number(mountId),
		majorMinor: majorMinor!,
		root: unescapeOctal(root!),
		mountPoint: unescapeOctal(mountPoint),
		type,
		source: unescapeOctal(source ?? ''),
	};
}

/** The kernel writes space, tab, newline, backslash and # as a backslash with three octal digits. */
function unescapeOctal(field: string): Buffer {
	return Buffer.from(
		field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
		'latin1',
	);
}
