import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { noonmark, noonmarkJson } from '../helpers/volume.ts';
import type { Subject } from './compare.ts';
import { isMounted, startServer, unmount } from './servers.ts';
import type { Workshop } from './workshop.ts';

export const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'main.js');

/** fsextmount of libfsext is none of them: Debian's libfsext-utils comes without it. */
const PEERS: readonly { name: string; isThere: () => boolean; howToGet: string }[] = [
	{ name: 'fuse2fs', isThere: () => programs('fuse2fs'), howToGet: 'Debian: fuse2fs' },
	{
		name: 'qemu-storage-daemon',
		isThere: () => programs('qemu-storage-daemon', 'qemu-img'),
		howToGet: 'Debian: qemu-system-common and qemu-utils',
	},
	{ name: 'nbdkit', isThere: () => programs('nbdkit', 'nbdfuse'), howToGet: 'Debian: nbdkit and libnbd-bin' },
	{
		name: 'fuse-native',
		isThere: () => fuseNativePath() !== undefined,
		howToGet: 'Debian: libfuse2; then npm install --no-save fuse-native',
	},
];

/** Of the wanted peers those that are not installed here, each with how to get it. */
export const missingPeers = (wanted: RegExp): string[] =>
	PEERS.filter(({ name, isThere }) => wanted.test(name) && !isThere()).map(
		({ name, howToGet }) => `${name} (${howToGet})`,
	);

function fuseNativePath(): string | undefined {
	try {
		const require = createRequire(import.meta.url);
		require('fuse-native'); // it fails without libfuse.so.2
		return require.resolve('fuse-native');
	} catch {
		return undefined;
	}
}

const KERNEL = 'kernel, loop';

/** The kernel's own driver over a loop device. `name` is that of the directory. */
export async function mountKernel(workshop: Workshop, image: string, name: string, options: string): Promise<Subject> {
	const root = workshop.emptyDirectory(name);
	await runOk('mount', ['-o', `loop,${options}`, image, root]);
	workshop.atEnd(() => unmount(root));
	return { name: KERNEL, root };
}

/** Mounts an image with the kernel's own driver for as long as `action` takes. */
export async function withMount(
	workshop: Workshop,
	image: string,
	options: string,
	action: (root: string) => Promise<unknown>,
): Promise<void> {
	const root = workshop.emptyDirectory('being-filled');
	await runOk('mount', ['-o', `loop,${options}`, image, root]);
	const unmountOnce = workshop.atEnd(() => unmount(root));
	try {
		await action(root);
	} finally {
		await unmountOnce();
	}
}

/** Every peer that is installed, read-only on the image; the kernel's driver, which the ratios are against, is the last. */
export async function mountPeers(workshop: Workshop, image: string): Promise<Subject[]> {
	const kernel = await mountKernel(workshop, image, 'kernel', 'ro,noload');
	const peers: Subject[] = [];
	if (programs('fuse2fs')) peers.push(await mountFuse2fs(workshop, image));
	if (programs('qemu-storage-daemon')) peers.push(await mountThroughQemu(workshop, image));
	if (programs('nbdkit', 'nbdfuse')) peers.push(await mountThroughNbdkit(workshop, image));
	const fuseNative = fuseNativePath();
	if (fuseNative) peers.push(await mountFuseNative(workshop, fuseNative, kernel.root));
	return [...peers, kernel];
}

async function mountFuse2fs(workshop: Workshop, image: string): Promise<Subject> {
	const root = workshop.emptyDirectory('fuse2fs');
	const pid = await serveMount(workshop, root, 'fuse2fs', [image, root, '-f', '-o', 'ro,norecovery']);
	return { name: 'fuse2fs', root, pids: [pid] };
}

/** The image as a file of qemu-storage-daemon's FUSE export, and the kernel's driver on that. */
async function mountThroughQemu(workshop: Workshop, image: string): Promise<Subject> {
	const exported = workshop.path('qemu.img');
	writeFileSync(exported, '');
	const pid = await serveMount(workshop, exported, 'qemu-storage-daemon', [
		...['--blockdev', `driver=file,node-name=disk,filename=${image},read-only=on,locking=off`],
		...['--export', `type=fuse,id=export,node-name=disk,mountpoint=${exported},writable=off`],
	]);
	const { root } = await mountKernel(workshop, exported, 'qemu', 'ro,noload');
	return { name: 'qemu and kernel', root, pids: [pid] };
}

/**
 * The image as a file of nbdfuse, which asks nbdkit, and the kernel's driver on that. The kernel's own NBD client would
 * need its module nbd, which many machines lack.
 */
async function mountThroughNbdkit(workshop: Workshop, image: string): Promise<Subject> {
	const [socket, exported] = [workshop.path('nbdkit.sock'), workshop.path('nbdkit.img')];
	writeFileSync(exported, '');
	const server = await startServer('nbdkit', ['-f', '-r', '-U', socket, 'file', image], () => existsSync(socket));
	workshop.atEnd(() => server.stop());
	const client = await serveMount(workshop, exported, 'nbdfuse', ['-r', exported, `nbd+unix:///?socket=${socket}`]);
	const { root } = await mountKernel(workshop, exported, 'nbdkit', 'ro,noload');
	return { name: 'nbdkit and kernel', root, pids: [server.pid, client] };
}

/** A thin file system on fuse-native that shows what the kernel has mounted. */
async function mountFuseNative(workshop: Workshop, modulePath: string, source: string): Promise<Subject> {
	const root = workshop.emptyDirectory('fuse-native');
	const program = join(import.meta.dirname, 'fuse-native-mirror.js');
	const pid = await serveMount(workshop, root, process.execPath, [program, modulePath, source, root]);
	return { name: 'fuse-native', root, pids: [pid] };
}

/** Starts a program that serves a mount; resolves with its id once something is mounted there. */
async function serveMount(
	workshop: Workshop,
	mountPoint: string,
	command: string,
	args: readonly string[],
): Promise<number> {
	const server = await startServer(command, args, () => isMounted(mountPoint));
	workshop.atEnd(async () => {
		await unmount(mountPoint);
		await server.stop();
	});
	return server.pid;
}

export interface MountedVolume {
	readonly image: string;
	readonly live: string;
	readonly mountpoint: string;
	readonly data: string;
	readonly pid: number;
	unmount(): Promise<void>;
}

/** Mounts an image with Noonmark; `withData` also its file system. */
export async function mountVolume(
	workshop: Workshop,
	image: string,
	{ withData }: { withData: boolean },
): Promise<MountedVolume> {
	const data = workshop.emptyDirectory(`${image.split('/').at(-1)}-data`);
	const previous = workshop.emptyDirectory(`${image.split('/').at(-1)}-previous`);
	const options = ['--max-size', 'unbounded', ...(withData ? ['--data', data] : [])];
	const unmountOnce = workshop.atEnd(async () => {
		const result = await noonmark(['unmount', image]);
		if (result.code !== 0) throw new Error(`${image}: ${result.stderr}`);
	});
	const { volumes } = await noonmarkJson<{ volumes: { live: string; mountpoint: string; pid: number }[] }>([
		'mount',
		image,
		previous,
		...options,
	]);
	return { image, data, ...volumes[0]!, unmount: unmountOnce };
}

/** Makes a shadow copy; returns its directory. */
export async function createCopy({ image }: Pick<MountedVolume, 'image'>): Promise<string> {
	const { shadowCopies } = await noonmarkJson<{ shadowCopies: { path: string }[] }>(['create', image]);
	return shadowCopies[0]!.path;
}
