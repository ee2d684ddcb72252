/** Who uses a file as a disk: the loop devices over it, and what is mounted from them. */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { readMountInfo } from '../system/mountinfo.ts';

const SYS_BLOCK = '/sys/block';

export interface LoopDevice {
	/** `/dev/loop3` */
	readonly path: string;
	/** `major:minor` of the device and of its partitions. */
	readonly majorMinors: readonly string[];
}

/** The loop devices whose backing file is this one (an absolute path without symbolic links). */
export function loopDevicesOver(filePath: string): LoopDevice[] {
	return readdirSync(SYS_BLOCK)
		.filter((name) => name.startsWith('loop') && readText(`${SYS_BLOCK}/${name}/loop/backing_file`) === filePath)
		.map((name) => ({ path: `/dev/${name}`, majorMinors: majorMinorsOf(name) }));
}

/** The numbers of a block device and of its partitions, by its name below /sys/block. */
export function majorMinorsOf(name: string): string[] {
	const directory = realpathSync(`${SYS_BLOCK}/${name}`);
	const partitions = readdirSync(directory).filter((entry) => entry.startsWith(name));
	return ['', ...partitions].flatMap((entry) => readText(`${directory}/${entry}/dev`) ?? []);
}

/** Where devices with these numbers are mounted: one mount point for each file system. */
export function mountPointsOf(majorMinors: readonly string[]): string[] {
	const byDevice = new Map<string, string>();
	for (const { majorMinor, mountPoint } of readMountInfo()) {
		if (majorMinors.includes(majorMinor) && !byDevice.has(majorMinor)) byDevice.set(majorMinor, mountPoint.toString());
	}
	return [...byDevice.values()];
}

function readText(path: string): string | undefined {
	try {
		return readFileSync(path, 'utf8').trimEnd();
	} catch {
		return undefined;
	}
}
