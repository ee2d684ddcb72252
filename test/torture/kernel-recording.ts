/**
 * What the kernel's ext4 does to a disk: a file system is mounted, used at random and frozen now and then, on a disk that
 * writes everything down. Recorded once, it is played to other volumes again and again, without the kernel. What the
 * kernel writes and when is not up to the seed alone, so a failure names a file that holds the recording.
 */
import { mkdirSync, mkdtempSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { serveMount } from '../helpers/fuse-mount.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { type TeardownContext, temporaryDirectory } from '../helpers/temp.ts';
import { type TreeEntry, treeOfDirectory } from '../helpers/tree.ts';
import type { ByteRange } from './ext4-oracle.ts';
import { type DiskWrite, readLog } from './recording-device.ts';

export interface KernelRecording {
	/** As mke2fs made it. */
	readonly first: Buffer;
	readonly writes: readonly DiskWrite[];
	/** Before which of the writes the file system stood still, and what the kernel showed then. */
	readonly frozen: ReadonlyMap<number, readonly TreeEntry[]>;
	/** What was in use before some of the writes, as far as it was asked. */
	readonly inUse: Map<number, readonly ByteRange[]>;
}

export interface RecordingOptions {
	readonly seed: number;
	readonly mkfs: readonly string[];
	readonly mountOptions: string;
}

const SIZE_BYTES = 5 << 20;
const ROUNDS = 8;
const RECORDING_MS_MAX = 90_000;

/** Several groups, most of them not initialised, their tables in the first; and clusters of four blocks. */
export const FILE_SYSTEMS: Readonly<Record<string, Omit<RecordingOptions, 'seed'>>> = {
	groups: {
		mkfs: ['-t', 'ext4', '-b', '1024', '-g', '1024', '-J', 'size=1', '-N', '256'],
		mountOptions: 'noatime,discard',
	},
	clusters: {
		mkfs: ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '4096', '-J', 'size=1', '-N', '256'],
		mountOptions: 'noatime,data=journal',
	},
	older: {
		mkfs: ['-t', 'ext3', '-b', '1024', '-O', 'uninit_bg', '-g', '1024', '-J', 'size=1', '-N', '256'],
		mountOptions: 'noatime,commit=1',
	},
};

/** Makes and removes, writes and cuts short, and gives free space back. argv: directory, seed. */
const USE = `
import os, random, shutil, sys
os.chdir(sys.argv[1])
rng = random.Random(int(sys.argv[2]))
name = lambda: 'f%d' % rng.randrange(12)
def scribble():
    fd = os.open(name(), os.O_RDWR | os.O_CREAT, 0o644)
    for _ in range(rng.randrange(6)): os.pwrite(fd, rng.randbytes(rng.choice([1, 1024, 9000, 60000])), rng.randrange(300000))
    if rng.random() < 0.3: os.ftruncate(fd, rng.randrange(100000))
    if rng.random() < 0.5: os.fsync(fd)
    if rng.random() < 0.3: os.setxattr(fd, 'user.some', rng.randbytes(rng.choice([4, 400])))
    os.close(fd)
def reserve():
    fd = os.open(name(), os.O_RDWR | os.O_CREAT, 0o644)
    os.posix_fallocate(fd, rng.randrange(100000), rng.randrange(1, 200000))
    os.close(fd)
def forget(): os.unlink(name())
def move(): os.rename(name(), name())
def tree():
    if os.path.isdir('tree'): shutil.rmtree('tree')
    else:
        os.makedirs('tree/a/b')
        for i in range(rng.randrange(40)): open('tree/a/%d' % i, 'w').write('x' * i * 50)
        os.symlink('y' * rng.choice([10, 200]), 'tree/link')
def commit(): os.system('sync -f .')
for _ in range(25):
    try: rng.choice([scribble, scribble, scribble, reserve, forget, forget, move, tree, commit])()
    except OSError: pass
`;

/** The recording in the file that RECORDING names, or a new one. Needs root. */
export async function recordKernel(t: TeardownContext, options: RecordingOptions): Promise<KernelRecording> {
	if (process.env.RECORDING) return deserialize(readFileSync(process.env.RECORDING)) as KernelRecording;
	const directory = temporaryDirectory(t);
	const [image, log, live, data] = ['image', 'log', 'live', 'data'].map((name) => join(directory, name)) as [
		string,
		string,
		string,
		string,
	];
	writeFileSync(image, '');
	truncateSync(image, SIZE_BYTES);
	await runOk('mke2fs', ['-q', '-F', ...options.mkfs, image]);
	const first = readFileSync(image);
	writeFileSync(live, '');
	mkdirSync(data);
	const actions: (() => void | Promise<void>)[] = [];
	const device = serveMount(
		{ teardown: (action) => actions.unshift(action) },
		{
			...{ mountPoint: live, root: 'file', source: 'recording', readOnly: false, allowOther: false },
			handlerModule: new URL('./recording-device.js', import.meta.url).href,
			handlerData: { image, log },
		},
	);
	// Were the disk's thread dead, whoever waits for the disk would wait for ever: then it goes.
	const guard = setTimeout(() => void device.stop(), RECORDING_MS_MAX);
	try {
		const frozen = await withMounted(live, data, options.mountOptions, () => useAndFreeze(data, log, options.seed));
		await device.stop();
		return recordingOf(first, readFileSync(log), frozen);
	} finally {
		clearTimeout(guard);
		for (const action of actions) await action();
	}
}

async function withMounted<T>(live: string, data: string, mountOptions: string, action: () => Promise<T>): Promise<T> {
	const loop = (await runOk('losetup', ['--find', '--show', '--direct-io=on', live])).toString().trim();
	try {
		await runOk('mount', ['-o', mountOptions, loop, data]);
		try {
			return await action();
		} finally {
			if ((await run('umount', [data])).code !== 0) await run('umount', ['--lazy', data]);
		}
	} finally {
		await run('losetup', ['--detach', loop]);
	}
}

/** Returns how long the log was whenever the file system stood still, and its tree. */
async function useAndFreeze(data: string, log: string, seed: number): Promise<Map<number, readonly TreeEntry[]>> {
	const frozen = new Map<number, readonly TreeEntry[]>();
	for (let round = 0; round < ROUNDS; round++) {
		await runOk('python3', ['-c', USE, data, String(seed * ROUNDS + round)]);
		if (round % 3 === 2) await shell('fstrim "$1" || true', [data]);
		await runOk('fsfreeze', ['--freeze', data]);
		try {
			frozen.set(statSync(log).size, await treeOfDirectory(data));
		} finally {
			await run('fsfreeze', ['--unfreeze', data]);
		}
	}
	return frozen;
}

function recordingOf(first: Buffer, log: Buffer, frozenAt: ReadonlyMap<number, readonly TreeEntry[]>): KernelRecording {
	const writes: DiskWrite[] = [];
	const frozen = new Map<number, readonly TreeEntry[]>();
	for (const { write, endBytes } of readLog(log)) {
		writes.push(write);
		const tree = frozenAt.get(endBytes);
		if (tree) frozen.set(writes.length, tree);
	}
	return { first, writes, frozen, inUse: new Map() };
}

/** Keeps a recording for who wants to see a failure again; says how. */
export function keepRecording(recording: KernelRecording): string {
	const path = join(mkdtempSync(join(tmpdir(), 'noonmark-recording-')), 'recording');
	writeFileSync(path, serialize(recording));
	return `RECORDING=${path} shows it again`;
}
