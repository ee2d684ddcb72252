import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { programs } from '../helpers/requires.ts';
import { runOk, shell } from '../helpers/run.ts';
import { noonmarkJson } from '../helpers/volume.ts';
import type { Subject } from './compare.ts';
import { createCopy, type MountedVolume, mountVolume } from './peers.ts';
import { isMounted, type Server, startServer, unmount } from './servers.ts';
import type { Workshop } from './workshop.ts';

const makeImage = (path: string) =>
	shell('truncate -s 2G "$1"; mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 "$1"', [path]);

/** Mounted live devices, and the peers beside them. `fill` is called on each file system before its copies are made. */
export async function mountDevices(
	workshop: Workshop,
	copies: number,
	fill: (root: string) => Promise<unknown>,
): Promise<Subject[]> {
	const devices = [
		await liveDevice(workshop, 'no copies', fill, async () => {}),
		await liveDevice(workshop, 'a fresh copy', fill, async (volume) => {
			await createCopy(volume);
			await deleteAllButNewest(volume, 1);
		}),
		await liveDevice(workshop, `${copies} copies`, fill, async (volume) => {
			do await createCopy(volume);
			while ((await copiesOf(volume)).length < copies);
			await deleteAllButNewest(volume, copies);
		}),
	];
	if (programs('qemu-storage-daemon', 'qemu-img')) devices.push(await copyBeforeWrite(workshop, fill));
	return [...devices, await loopOnPlainFile(workshop, fill)];
}

async function liveDevice(
	workshop: Workshop,
	name: string,
	fill: (root: string) => Promise<unknown>,
	prepare: (volume: MountedVolume) => Promise<void>,
): Promise<Subject> {
	const image = workshop.path(`${name.replaceAll(' ', '-')}.img`);
	await makeImage(image);
	const volume = await mountVolume(workshop, image, { withData: true });
	await fill(volume.data);
	return {
		name: `live device, ${name}`,
		root: volume.data,
		pids: [volume.pid],
		prepare: () => prepare(volume),
		writtenBytes: async () => {
			const { storage } = await noonmarkJson<{ storage: { usedBytes: number }[] }>(['list', 'storage', image]);
			return { diffArea: storage[0]!.usedBytes, disk: bytesWrittenTo(volume.data) };
		},
	};
}

async function copiesOf({ image }: MountedVolume): Promise<readonly { id: string }[]> {
	return (await noonmarkJson<{ shadowCopies: { id: string }[] }>(['list', 'shadows', image])).shadowCopies;
}

async function deleteAllButNewest(volume: MountedVolume, kept: number): Promise<void> {
	const ids = (await copiesOf(volume)).slice(0, -kept).map(({ id }) => id);
	if (ids.length > 0) await noonmarkJson(['delete', volume.image, ...ids]);
}

/** A loop device over a plain file, in the way in which Noonmark has one over its live device. */
async function loopOnPlainFile(workshop: Workshop, fill: (root: string) => Promise<unknown>): Promise<Subject> {
	const [image, root] = [workshop.path('plain.img'), workshop.emptyDirectory('plain')];
	await makeImage(image);
	await mountLoop(image, root, { directIo: true });
	workshop.atEnd(() => unmount(root));
	await fill(root);
	return { name: 'loop on a plain file', root };
}

/** The kernel detaches the loop device when its mount goes. */
async function mountLoop(file: string, root: string, { directIo }: { directIo: boolean }): Promise<void> {
	const loop = (await runOk('losetup', ['--find', '--show', `--direct-io=${directIo ? 'on' : 'off'}`, file]))
		.toString()
		.trim();
	try {
		await runOk('mount', [loop, root]);
	} finally {
		await runOk('losetup', ['--detach', loop]);
	}
}

/**
 * qemu-storage-daemon with its copy-before-write filter: before each measurement it begins with an empty target.
 * Its loop device is buffered: with direct I/O, qemu 7.2's FUSE export damages the file system.
 */
async function copyBeforeWrite(workshop: Workshop, fill: (root: string) => Promise<unknown>): Promise<Subject> {
	const [image, target, exported] = [workshop.path('cbw.img'), workshop.path('cbw.qcow2'), workshop.path('cbw.export')];
	const root = workshop.emptyDirectory('cbw');
	await makeImage(image);
	writeFileSync(exported, '');
	let server: Server | undefined;
	const stop = async () => {
		await unmount(root);
		await unmount(exported);
		await server?.stop();
		server = undefined;
	};
	workshop.atEnd(stop);
	const prepare = async () => {
		await stop();
		await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', target, '2G']);
		const args = [
			...['--blockdev', `driver=file,node-name=disk,filename=${image}`],
			...['--blockdev', `driver=qcow2,node-name=old,file.driver=file,file.filename=${target}`],
			...['--blockdev', 'driver=copy-before-write,node-name=filter,file=disk,target=old'],
			...['--export', `type=fuse,id=export,node-name=filter,mountpoint=${exported},writable=on`],
		];
		server = await startServer('qemu-storage-daemon', args, () => isMounted(exported));
		await mountLoop(exported, root, { directIo: false });
	};
	await prepare();
	await fill(root);
	return { name: 'qemu copy-before-write', root, prepare };
}

/** From Linux's Documentation/admin-guide/iostats.rst: the seventh number counts written sectors of 512 bytes. */
function bytesWrittenTo(mountPoint: string): number {
	const device = readFileSync('/proc/self/mounts', 'utf8')
		.split('\n')
		.map((line) => line.split(' '))
		.find(([, path]) => path === mountPoint)![0]!;
	return (
		Number(
			readFileSync(`/sys/block/${basename(device)}/stat`, 'utf8')
				.trim()
				.split(/\s+/)[6],
		) * 512
	);
}
