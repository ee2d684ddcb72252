import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from 'meow';
import type { StatusReport } from '../../src/control/messages.ts';
import { errorFromPlain, ioError, type PlainError, plainError } from '../../src/errors.ts';
import { COPIES_MAX, checkPrivilege, type MountRequest, TRANSPORTS } from '../../src/service/mount-plan.ts';
import { openServiceLog } from '../../src/service/service-logs.ts';
import { JSON_FLAG, parse, usage } from '../arguments.ts';
import { printJson, printLines } from '../output.ts';
import { MAXIMUM_SIZE_EXPECTED, parseMaximumSize, parseSize } from '../size.ts';
import { statusLines } from './status.ts';

const DEFAULT_CACHE_SIZE = '128M';

const HELP = `
	Usage
	  $ noonmark mount IMAGE MOUNTPOINT

	Starts the volume service of a disk image or block device with an ext2, ext3 or ext4 file system. Its shadow copies
	appear in MOUNTPOINT; the volume itself is used through the live device. Returns once everything answers.
	Who is not root can look at an image, with --read-only: at its shadow copies, where the storage is readable, and at the
	volume as it is, in the directory "volume".

	Options
	  --data DIR       Mount the file system of the live device here, too
	  --live FILE      Where the live device appears (default: STORAGE/live)
	  --storage DIR    The diff area (default: IMAGE.noonmark)
	  --max-size SIZE  The most that the diff area may take: 500M, 20G, 15%, unbounded; kept for later mounts
	                   (default: as it was; at first 10% of the volume)
	  --max-copies N   The most shadow copies (default, and at most: ${COPIES_MAX})
	  --policy POLICY  What gives way where the diff area is full or fails: protect-volume deletes the oldest copies,
	                   protect-shadows fails the write (default: protect-volume)
	  --cache-size SIZE
	                   The most memory for the metadata of shadow copies that are browsed (default: ${DEFAULT_CACHE_SIZE})
	  --read-only      Show the shadow copies; neither the volume nor they can change
	  --no-replay      Show copies as they lie on the disk, without what is in their journals
	  --allow-other    Let users other than root browse, each with the permissions that the files have
	  --transport NAME How the shadow copies are served: direct, or fuse-native, an optional package that is slower and
	                   shows less (default: direct)
	  --foreground     Stay in the foreground until everything is unmounted
	  --json           Print {"volumes":[…]}
`;

const POLICIES = ['protect-volume', 'protect-shadows'] as const;

export const FLAGS = {
	...JSON_FLAG,
	data: { type: 'string' },
	live: { type: 'string' },
	storage: { type: 'string' },
	maxSize: { type: 'string' },
	maxCopies: { type: 'number', default: COPIES_MAX },
	policy: { type: 'string', default: POLICIES[0] },
	cacheSize: { type: 'string', default: DEFAULT_CACHE_SIZE },
	readOnly: { type: 'boolean', default: false },
	replay: { type: 'boolean', default: true },
	allowOther: { type: 'boolean', default: false },
	transport: { type: 'string', default: TRANSPORTS[0] },
	foreground: { type: 'boolean', default: false },
} as const;

const MAIN = join(import.meta.dirname, '..', 'main.js');

/** What a service in the background tells the command that started it. */
type Tidings = { readonly ready: StatusReport } | { readonly error: PlainError };

export async function run(argv: readonly string[]): Promise<void> {
	const cli = parse(argv, HELP, FLAGS, { min: 2, max: 2 });
	const { foreground, json } = cli.flags;
	const request = requestOf(cli);
	checkPrivilege(request);
	const report = (status: StatusReport) =>
		json ? printJson({ volumes: [status.volume] }) : printLines(statusLines(status));
	if (!foreground) return report(await startInBackground(request.image, argv));
	try {
		await (process.send ? serveFor(request) : serve(request, report));
	} finally {
		// Its library never ends its thread, which would keep this process; what is left to say is said by then.
		if (request.transport === 'fuse-native') setImmediate(() => process.exit());
	}
}

/** What the command line asks for. Ends the process with the usage where a value is none that its flag can have. */
function requestOf(cli: Result<typeof FLAGS>): MountRequest {
	const [image, mountpoint] = cli.input as [string, string];
	const { data, live, storage, maxSize, maxCopies: maximumCopies, readOnly, allowOther } = cli.flags;
	const maximumSize = maxSize === undefined ? undefined : parseMaximumSize(maxSize);
	if (maxSize !== undefined && !maximumSize) usage(cli, `--max-size ${maxSize}: ${MAXIMUM_SIZE_EXPECTED}`);
	if (!(Number.isInteger(maximumCopies) && maximumCopies >= 1 && maximumCopies <= COPIES_MAX))
		usage(cli, `--max-copies ${maximumCopies}: expected a whole number from 1 to ${COPIES_MAX}`);
	const policy = POLICIES.find((known) => known === cli.flags.policy);
	if (!policy) usage(cli, `--policy ${cli.flags.policy}: expected one of ${POLICIES.join(', ')}`);
	const cacheBytes = parseSize(cli.flags.cacheSize);
	if (!cacheBytes) usage(cli, `--cache-size ${cli.flags.cacheSize}: expected a size such as 128M`);
	const transport = TRANSPORTS.find((known) => known === cli.flags.transport);
	if (!transport) usage(cli, `--transport ${cli.flags.transport}: expected one of ${TRANSPORTS.join(', ')}`);
	const paths = { image, mountpoint, data, live, storage };
	const limits = { maximumSize, maximumCopies, policy, cacheBytes };
	return { ...paths, ...limits, readOnly, allowOther, replayJournal: cli.flags.replay, transport };
}

/** What a service is made of is loaded where it runs, not in the command that waits for it. */
async function serve(request: MountRequest, onReady: (status: StatusReport) => void): Promise<void> {
	const { runService } = await import('../../src/service/run-service.ts');
	return runService(request, { nowMs: () => Date.now(), newUuid: randomUUID }, onReady);
}

/** Serves in the background of the command that started this process, and tells that one how the start went. */
async function serveFor(request: MountRequest): Promise<void> {
	const tell = (tidings: Tidings) => process.send?.(tidings, () => process.disconnect?.());
	try {
		await serve(request, (ready) => {
			if (process.connected) tell({ ready });
			else process.kill(process.pid, 'SIGTERM'); // who asked for it has given up: it ends in order
		});
	} catch (error) {
		if (!process.connected) throw error;
		tell({ error: plainError(error) });
		process.exitCode = 1;
	}
}

/** Runs `noonmark mount` with these arguments, in a session of its own; resolves when the volume is mounted. */
export async function startInBackground(image: string, argv: readonly string[]): Promise<StatusReport> {
	const { path: logPath, fd: logFd } = openServiceLog(image, Date.now());
	const child = spawn(process.execPath, [...process.execArgv, MAIN, 'mount', ...argv, '--foreground'], {
		detached: true,
		stdio: ['ignore', logFd, logFd, 'ipc'],
		cwd: process.cwd(),
	});
	closeSync(logFd);
	const tidings = await firstTidings(child, logPath);
	child.disconnect?.();
	child.unref();
	if ('error' in tidings) throw errorFromPlain(tidings.error);
	return tidings.ready;
}

function firstTidings(child: ChildProcess, logPath: string): Promise<Tidings> {
	return new Promise((resolve, reject) => {
		child.once('message', resolve);
		child.once('error', reject);
		child.once('exit', (code, signal) => {
			const died = () =>
				reject(
					ioError(
						'service-died',
						`the volume service ended (${signal ?? code}) before it was ready: ${lastLine(logPath)}`,
					),
				);
			// What it said last may come in after the news of its end.
			if (child.connected) child.once('disconnect', died);
			else died();
		});
	});
}

/** A service that ends in order takes its log away where that is empty. */
function lastLine(logPath: string): string {
	return existsSync(logPath) ? (readFileSync(logPath, 'utf8').trimEnd().split('\n').at(-1) ?? '') : 'it left no log';
}
