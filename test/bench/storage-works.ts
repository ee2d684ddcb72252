import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { shell } from '../helpers/run.ts';
import type { Work } from './compare.ts';
import { NODE_MODULES } from './fixture.ts';
import { FIO_FILE_MIB, fillFioFile, fio, seconds } from './works.ts';

export interface StorageSizes {
	readonly fioSeconds: number;
	readonly appendMib: number;
}

/** What the works need on each file system: a file to overwrite. */
export const fillForStorage = fillFioFile;

const randomWrites = (name: string, { fioSeconds }: StorageSizes, more: readonly string[]): Work => ({
	name,
	unit: 'IOPS',
	measure: async (root) => {
		const where = [`--filename=${join(root, 'fio.data')}`, `--size=${FIO_FILE_MIB}M`, '--overwrite=1'];
		const how = ['--rw=randwrite', '--bs=4k', '--time_based', `--runtime=${fioSeconds}`];
		return (await fio('write', [...where, ...how, ...more])).iops;
	},
});

const scripted = (name: string, unit: string, amount: number, prepare: string, script: string): Work => ({
	name,
	unit,
	prepare: (root) => shell(`${prepare}\nsync -f "$1"`, [root], { timeoutMs: 120_000 }),
	measure: async (root) => amount / (await seconds(script, [root])),
});

/**
 * What happens to a disk. `archive` is a tar archive of `archiveEntries` files and directories.
 */
export function storageWorks(sizes: StorageSizes, archive: string, archiveEntries: number): Work[] {
	const untar = `mkdir "$1/new"; tar xf '${archive}' -C "$1/new"; sync -f "$1"`;
	return [
		randomWrites('random 4 KiB, fsync every 32', sizes, ['--ioengine=psync', '--fsync=32']),
		randomWrites('random 4 KiB, no fsync', sizes, ['--ioengine=libaio', '--iodepth=16', '--direct=1']),
		scripted(
			'sequential overwrite',
			'MiB/s',
			FIO_FILE_MIB,
			'',
			// No zeros: to keep those costs next to nothing.
			`dd if=<(tr '\\0' x < /dev/zero) of="$1/fio.data" bs=1M count=${FIO_FILE_MIB} iflag=fullblock conv=notrunc,fsync status=none`,
		),
		scripted(
			'append',
			'MiB/s',
			sizes.appendMib,
			'rm -f "$1/appended"',
			`dd if=/dev/zero of="$1/appended" bs=1M count=${sizes.appendMib} oflag=append conv=notrunc,fsync status=none`,
		),
		scripted('untar of a source tree', 'files/s', archiveEntries, 'rm -rf "$1/new"', untar),
		scripted(
			'rm -rf of it, and fstrim',
			'files/s',
			archiveEntries,
			`rm -rf "$1/new"; ${untar}`,
			'rm -rf "$1/new"; sync -f "$1"; fstrim "$1"',
		),
	];
}

/** Packs the source tree that the works unpack; returns how many entries it has. */
export async function packSourceTree(archive: string): Promise<number> {
	rmSync(archive, { force: true });
	await shell(
		'cd "$1"; find . -name .bin -prune -o -size -1024k -print0 | tar cf "$2" --null --no-recursion -T -',
		[NODE_MODULES, archive],
		{ timeoutMs: 120_000 },
	);
	return Number(await shell('tar tf "$1" | wc -l', [archive]));
}
