import createDebug from 'debug';
import type { BlockDevice } from '../block/device.ts';
import { LineCache } from '../block/line-cache.ts';
import { readPartitionTable } from '../block/partition-table.ts';
import { messageOf, NoonmarkError, refused, unsupported } from '../errors.ts';
import { BlockReader } from '../ext/block-reader.ts';
import { readSuperblock } from '../ext/filesystem.ts';
import { readMultiMount } from '../ext/multi-mount.ts';
import type { Superblock } from '../ext/superblock.ts';

const log = createDebug('noonmark:service');

const GIB = 2 ** 30;

/**
 * Checks that a device holds a file system whose shadow copies can be read. A journal that waits to be replayed is no
 * obstacle: the kernel replays it when the live device is mounted.
 * Errors: unsupported `not-ext` with what was found instead, or an ext feature by its name; refused `partitioned` with
 * the partitions; corrupt.
 */
export function probeVolume(device: BlockDevice, path: string): void {
	try {
		warnOfOtherHosts(device, readSuperblock(device), path);
	} catch (error) {
		if (!(error instanceof NoonmarkError)) throw error;
		if (error.code === 'not-ext') throw notExt(device, path);
		throw new NoonmarkError(error.family, error.code, `${path}: ${error.message}`, { cause: error });
	}
}

const MMP_CACHE_BYTES = 1 << 16;

/** Copies of a volume that another host writes would be worth nothing, but a crash leaves the same trace: no refusal. */
function warnOfOtherHosts(device: BlockDevice, superblock: Superblock, path: string): void {
	try {
		const user = readMultiMount(new BlockReader(superblock, device, { cache: new LineCache(MMP_CACHE_BYTES) }));
		if (!user || user.state === 'clean') return;
		log('%s: its MMP block is %s, by host %s: another host may be writing it', path, user.state, user.host);
	} catch (error) {
		log('%s: its MMP block cannot be read: %s', path, messageOf(error));
	}
}

function notExt(device: BlockDevice, path: string): NoonmarkError {
	if (device.sizeBytes === 0)
		return unsupported('not-ext', `${path}: is empty; expected an ext2, ext3 or ext4 file system`);
	const table = readPartitionTable(device);
	if (table) {
		const partitions = table.partitions.map(
			({ index, startBytes, sizeBytes, type }) =>
				`${index} (${type}, ${(sizeBytes / GIB).toFixed(2)} GiB at byte ${startBytes})`,
		);
		return refused(
			'partitioned',
			`${path}: is a partitioned disk (${table.scheme.toUpperCase()}): ${partitions.join(', ') || 'no partition in use'}; give one partition as a device: losetup --partscan --find --show ${path}`,
		);
	}
	return unsupported('not-ext', `${path}: ${found(device)}; expected an ext2, ext3 or ext4 file system`);
}

function found(device: BlockDevice): string {
	const bytes = Buffer.alloc(Math.min(4096, device.sizeBytes));
	device.read(0, bytes);
	if (bytes.every((byte) => byte === 0)) return `the first ${bytes.length} of its ${device.sizeBytes} bytes are zeros`;
	const size = device.sizeBytes === 1 ? '1 byte that begins' : `${device.sizeBytes} bytes that begin`;
	return `has ${size} with ${bytes.subarray(0, 8).toString('hex')}, and no ext magic at byte 1080`;
}
