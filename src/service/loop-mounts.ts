/** Who uses a file as a disk: the loop devices over it, and what is mounted from them. */
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { readMountInfo } from '../system/mountinfo.ts';
import { runTool } from './run-tool.ts';

const SYS_BLOCK = '/sys/block';

const LISTING_MS_MAX = 10_000;

export interface LoopDevice {
	/** `/dev/loop3` */
	readonly path: string;
	/** `major:minor` of the device and of its partitions. */
	readonly majorMinors: readonly string[];
}

/**
 * The loop devices whose backing file has this path (absolute, without symbolic links). Asks nothing of the file, so that
 * it may be a live device.
 */
export function loopDevicesOver(filePath: string): LoopDevice[] {
	return readdirSync(SYS_BLOCK)
		.filter((name) => name.startsWith('loop') && readText(`${SYS_BLOCK}/${name}/loop/backing_file`) === filePath)
		.map((name) => ({ path: `/dev/${name}`, majorMinors: majorMinorsOf(name) }));
}

/**
 * The loop devices over an image, by whichever of its names. A program of its own looks: other loop devices may stand on
 * what does not answer.
 */
export async function loopDevicesOverImage(image: string): Promise<LoopDevice[]> {
	const { dev, ino } = statSync(image, { bigint: true });
	const wanted = `${majorMinorOf(dev)} ${ino}`;
	const columns = ['--output', 'NAME,BACK-MAJ:MIN,BACK-INO'];
	const listed = await runTool('losetup', ['--list', '--noheadings', ...columns], LISTING_MS_MAX);
	return listed
		.split('\n')
		.map((line) => line.trim().split(/\s+/))
		.filter(([, majorMinor, inode]) => `${majorMinor} ${inode}` === wanted)
		.map(([path]) => ({ path: path!, majorMinors: majorMinorsOf(basename(path!)) }));
}

/** `major:minor` of a st_dev: makedev(3). */
const majorMinorOf = (dev: bigint) =>
	`${((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)}:${(dev & 0xffn) | ((dev >> 12n) & ~0xffn & 0xffffffffn)}`;

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
