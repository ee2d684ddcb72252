/**
 * Notices a change of the volume behind Noonmark's back also where it was not closed in order. Every mount, check or
 * repair leaves its trace in the superblock of the file system; as long as it goes through the live device, what the
 * superblock says is put on record before it is written. After a crash it must say that, or what it said before.
 */
import type { BlockDevice, WritableBlockDevice } from '../block/device.ts';
import { KNOWN_FEATURES } from '../ext/features.ts';
import { SUPERBLOCK_BYTE_OFFSET, SUPERBLOCK_MAGIC, superblockLayout } from '../ext/layout.ts';

/** All fields that are looked at lie in one sector, which a disk writes whole or not at all. */
const SECTOR_AT = SUPERBLOCK_BYTE_OFFSET;
const SECTOR_BYTES = 512;

/** What the superblock of a volume says about who used it, in words. */
export function superblockState(volume: BlockDevice): string {
	if (volume.sizeBytes < SECTOR_AT + SECTOR_BYTES) return 'none';
	const sector = Buffer.alloc(superblockLayout.sizeBytes);
	volume.read(SECTOR_AT, sector.subarray(0, SECTOR_BYTES));
	return stateIn(sector);
}

function stateIn(sector: Buffer): string {
	const { magic, state, incompat, mountTimeSec, writeTimeSec, mountCount, checkTimeSec } =
		superblockLayout.decode(sector);
	if (magic !== SUPERBLOCK_MAGIC) return 'none';
	const use = `${incompat & KNOWN_FEATURES.incompat.needs_recovery ? 'in use' : 'at rest'} (${state})`;
	const times = [mountTimeSec, writeTimeSec, checkTimeSec].map(timeText);
	return `${use}, mount ${mountCount} at ${times[0]}, written ${times[1]}, checked ${times[2]}`;
}

const timeText = (sec: number) => `${new Date(sec * 1000).toISOString().slice(0, 19)}Z`;

/** The live volume, with an eye on its superblock. */
export class WatchedVolume implements WritableBlockDevice {
	readonly sizeBytes: number;
	readonly #volume: WritableBlockDevice;
	readonly #onChange: (states: readonly string[]) => void;
	#state: string;

	/** `onChange` puts on record what the superblock may say from now on; what it says now is on the disk. */
	constructor(volume: WritableBlockDevice, onChange: (states: readonly string[]) => void) {
		this.sizeBytes = volume.sizeBytes;
		this.#volume = volume;
		this.#onChange = onChange;
		this.#state = superblockState(volume);
	}

	read(byteOffset: number, into: Uint8Array): void {
		this.#volume.read(byteOffset, into);
	}

	write(byteOffset: number, from: Uint8Array): void {
		if (this.#isWatched(byteOffset, from.length)) {
			const sector = Buffer.alloc(superblockLayout.sizeBytes);
			this.#volume.read(SECTOR_AT, sector.subarray(0, SECTOR_BYTES));
			const start = Math.max(byteOffset, SECTOR_AT);
			const end = Math.min(byteOffset + from.length, SECTOR_AT + SECTOR_BYTES);
			sector.set(from.subarray(start - byteOffset, end - byteOffset), start - SECTOR_AT);
			this.#announce(stateIn(sector));
		}
		this.#volume.write(byteOffset, from);
	}

	zero(byteOffset: number, lengthBytes: number, free: boolean): void {
		if (this.#isWatched(byteOffset, lengthBytes)) this.#announce('none');
		this.#volume.zero(byteOffset, lengthBytes, free);
	}

	flush(): void {
		this.#volume.flush();
	}

	close(): void {
		this.#volume.close();
	}

	#isWatched(byteOffset: number, lengthBytes: number): boolean {
		return byteOffset < SECTOR_AT + SECTOR_BYTES && byteOffset + lengthBytes > SECTOR_AT;
	}

	#announce(state: string): void {
		if (state === this.#state) return;
		this.#volume.flush(); // what it said until now is on the disk
		this.#onChange([this.#state, state]);
		this.#state = state;
	}
}
