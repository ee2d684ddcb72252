import { CachedDevice } from '../block/cached-device.ts';
import type { BlockDevice } from '../block/device.ts';
import type { LineCache } from '../block/line-cache.ts';
import { corrupt } from '../errors.ts';
import type { Superblock } from './superblock.ts';

/** Metadata is read in lines of this size: what mke2fs lays out together comes in together. */
const LINE_BYTES = 1 << 14;
const MAX_VERIFIED = 1 << 12;

/**
 * The blocks of one volume by number, with the journal already under them. Metadata comes from a cache and is never
 * copied; file data goes straight to the caller's buffer. Every block number is checked here, once, before use.
 */
export class BlockReader {
	readonly superblock: Superblock;
	readonly #device: BlockDevice;
	readonly #metadata: CachedDevice;
	/** Blocks whose checksum was found right, with the inode that they were checked for. */
	readonly #verified = new Map<number, number>();

	constructor(superblock: Superblock, device: BlockDevice, options: { cache: LineCache }) {
		this.superblock = superblock;
		this.#device = device;
		this.#metadata = new CachedDevice(device, {
			lineBytes: Math.max(LINE_BYTES, superblock.blockSizeBytes),
			cache: options.cache,
		});
	}

	/** Drops what is cached; the device stays the caller's. */
	close(): void {
		this.#metadata.close();
	}

	/**
	 * A whole metadata block: never to be changed. `what` and `owner` (an inode, or 0) name it in the error.
	 * Errors: `corrupt` (`block-out-of-range`) for a number outside the volume.
	 */
	metadata(block: number, what: string, owner: number): Buffer {
		this.check(block, 1, what, owner);
		const { blockSizeBytes } = this.superblock;
		return this.#metadata.view(block * blockSizeBytes, blockSizeBytes);
	}

	/** A part of a metadata block that the caller has checked: never to be changed. */
	metadataPart(byteOffset: number, lengthBytes: number): Buffer {
		return this.#metadata.view(byteOffset, lengthBytes);
	}

	/** A hint: metadata at these places will be read soon. */
	announceMetadata(byteOffsets: readonly number[]): void {
		this.#metadata.announce(byteOffsets);
	}

	/** Reads file data: `into` starts `byteInBlock` into block `block` and may run over the blocks after it. */
	readData(block: number, byteInBlock: number, into: Uint8Array, owner: number): void {
		const { blockSizeBytes } = this.superblock;
		this.check(block, Math.ceil((byteInBlock + into.length) / blockSizeBytes), 'data', owner);
		this.#device.read(block * blockSizeBytes + byteInBlock, into);
	}

	check(block: number, count: number, what: string, owner: number): void {
		const { firstDataBlock, blockCount } = this.superblock;
		// The first block has the superblock.
		if (block <= firstDataBlock || block + count > blockCount) {
			throw corrupt(
				'block-out-of-range',
				`${owner === 0 ? '' : `inode ${owner}: `}${what} at block ${block}${count > 1 ? ` (${count} blocks)` : ''}, ` +
					`but the volume has blocks ${firstDataBlock + 1} to ${blockCount - 1}`,
			);
		}
	}

	/** Runs `isSound` the first time that `owner` meets this block; later calls trust the answer. */
	verifyOnce(block: number, owner: number, what: string, isSound: () => boolean): void {
		if (this.#verified.get(block) === owner) return;
		if (!isSound()) {
			throw corrupt(
				'checksum',
				`${owner === 0 ? '' : `inode ${owner}: `}${what} at block ${block}: its checksum does not fit its content`,
			);
		}
		if (this.#verified.size >= MAX_VERIFIED) this.#verified.clear();
		this.#verified.set(block, owner);
	}
}
