import type { BlockDevice } from '../block/device.ts';
import { JOURNAL_MAGIC } from './journal-layout.ts';
import type { JournalPlace } from './journal-place.ts';
import type { LoggedBlock } from './journal-replay.ts';

/**
 * The volume as it is after the journal was replayed: some blocks are read from the log instead of from their own
 * place. It lies under every read, file data too, because data can be journaled as well.
 */
export class JournalOverlay implements BlockDevice {
	readonly sizeBytes: number;
	readonly #device: BlockDevice;
	readonly #blockSizeBytes: number;
	readonly #journalDevice: BlockDevice;
	readonly #blocks: ReadonlyMap<number, LoggedBlock>;

	constructor(device: BlockDevice, journal: JournalPlace, blocks: ReadonlyMap<number, LoggedBlock>) {
		this.sizeBytes = device.sizeBytes;
		this.#device = device;
		this.#blockSizeBytes = journal.blockSizeBytes;
		this.#journalDevice = journal.device;
		this.#blocks = blocks;
	}

	/** Whatever lies between two logged blocks is one read of the device. */
	read(byteOffset: number, into: Uint8Array): void {
		const size = this.#blockSizeBytes;
		const end = byteOffset + into.length;
		let plainStart = byteOffset;
		for (let block = Math.floor(byteOffset / size); block * size < end; block++) {
			const logged = this.#blocks.get(block);
			if (!logged) continue;
			const start = Math.max(block * size, byteOffset);
			const stop = (block + 1) * size;
			this.#readPlain(plainStart, start, byteOffset, into);
			this.#readLogged(logged, start - block * size, into.subarray(start - byteOffset, stop - byteOffset));
			plainStart = stop;
		}
		this.#readPlain(plainStart, end, byteOffset, into);
	}

	/** What is in the log is announced too much: no harm. */
	announceRead(byteOffset: number, lengthBytes: number): void {
		this.#device.announceRead?.(byteOffset, lengthBytes);
	}

	/** The devices below belong to who opened them. */
	close(): void {}

	#readPlain(start: number, end: number, byteOffset: number, into: Uint8Array): void {
		if (start < end) this.#device.read(start, into.subarray(start - byteOffset, end - byteOffset));
	}

	#readLogged(logged: LoggedBlock, byteInBlock: number, into: Uint8Array): void {
		this.#journalDevice.read(logged.byteOffset + byteInBlock, into);
		if (!logged.isEscaped) return;
		for (let i = byteInBlock; i < MAGIC.length; i++) into[i - byteInBlock] = MAGIC[i]!;
	}
}

const MAGIC = Buffer.alloc(4);
MAGIC.writeUInt32BE(JOURNAL_MAGIC);
