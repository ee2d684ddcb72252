import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { refused } from '../errors.ts';

interface MountUser {
	readonly pid: number;
	readonly command: string;
}

/**
 * The processes that keep a mount busy: with a working directory, a root, a program or an open file at or below it.
 * Reads only links of /proc, never the mount itself.
 */
function mountUsers(mountPoint: string): MountUser[] {
	const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
	return pids
		.filter((pid) => linksOf(pid).some((target) => isWithin(target, mountPoint)))
		.map((pid) => ({ pid: Number(pid), command: commandOf(pid) }));
}

/** Errors: refused `mount-busy` where somebody keeps a mount busy, with who does. */
export function checkNotUsed(mountPoint: string): void {
	const users = mountUsers(mountPoint);
	if (users.length === 0) return;
	throw refused('mount-busy', `${mountPoint}: in use by ${namesOf(users)}; end them or let them leave it first`);
}

/** `vim (pid 123), bash (pid 124)` */
const namesOf = (users: readonly MountUser[]) => users.map(({ pid, command }) => `${command} (pid ${pid})`).join(', ');

/** Whether a path is a directory or lies below it. Both absolute, without symbolic links. */
export const isWithin = (path: string, directory: string) =>
	path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`);

function linksOf(pid: string): string[] {
	const fds = attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
	return ['cwd', 'root', 'exe', ...fds.map((fd) => `fd/${fd}`)].flatMap(
		(name) => attempt(() => readlinkSync(`/proc/${pid}/${name}`)) ?? [],
	);
}

function commandOf(pid: string): string {
	return attempt(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()) ?? '?';
}

/** Processes come and go while they are looked at. */
function attempt<T>(action: () => T): T | undefined {
	try {
		return action();
	} catch {
		return undefined;
	}
}
