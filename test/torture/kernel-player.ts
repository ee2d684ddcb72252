import { type ByteRange, bytesInUse } from './ext4-oracle.ts';
import type { KernelRecording } from './kernel-recording.ts';
import type { DiskWrite } from './recording-device.ts';

const SECTOR_BYTES = 512;

/** Plays a recording, again from the beginning when it ends, and knows what the volume must hold at any moment. */
export class KernelPlayer {
	readonly recording: KernelRecording;
	/** What the volume holds where everything was played to it. */
	readonly plain: Buffer;
	#position = 0;

	constructor(recording: KernelRecording) {
		this.recording = recording;
		this.plain = Buffer.from(recording.first);
	}

	/** How many writes were played. */
	get position(): number {
		return this.#position;
	}

	get isAtEnd(): boolean {
		return this.#position === this.recording.writes.length;
	}

	/** Whether the file system stood still here. */
	get isFrozen(): boolean {
		return this.recording.frozen.has(this.#position);
	}

	/** What a copy of the volume must keep now; found out once for each position. */
	bytesInUse(): readonly ByteRange[] {
		const { inUse } = this.recording;
		const known = inUse.get(this.#position) ?? bytesInUse(this.plain);
		inUse.set(this.#position, known);
		return known;
	}

	/** The next write; not where it is at its end. */
	next(): DiskWrite {
		const write = this.recording.writes[this.#position++]!;
		if (write.kind === 'write') write.bytes.copy(this.plain, write.at);
		if (write.kind === 'zero') this.plain.fill(0, write.at, write.at + write.lengthBytes);
		return write;
	}

	/** Begins again. */
	rewind(): void {
		this.#position = 0;
		this.recording.first.copy(this.plain);
	}

	/** What has to be written to a volume that holds something else, so that the recording goes on from there. */
	*differences(content: Buffer): Generator<{ at: number; bytes: Buffer }> {
		const differs = (at: number) => content.compare(this.plain, at, at + SECTOR_BYTES, at, at + SECTOR_BYTES) !== 0;
		for (let at = 0; at < content.length; at += SECTOR_BYTES) {
			const start = at;
			while (at < content.length && differs(at)) at += SECTOR_BYTES;
			if (at > start) yield { at: start, bytes: Buffer.from(this.plain.subarray(start, at)) };
		}
	}
}
