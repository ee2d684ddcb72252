import { crc32c, crc32cOfZeros } from '../../../src/bytes/crc32c.ts';
import type { Inode } from '../../../src/ext/inode.ts';
import { FLAG_INDEX } from '../../../src/ext/layout.ts';

/** Makes the checksum of a directory's block right: of an index node where it looks like one, else of a leaf. */
export function sealDirectoryBlock(seed: number, directory: Inode, fileBlock: number, bytes: Buffer): void {
	const isNode = fileBlock === 0 || bytes.readUInt16LE(4) === bytes.length;
	if (!(directory.flags & FLAG_INDEX) || !isNode) {
		bytes.writeUInt32LE(crc32c(seed, bytes, 0, bytes.length - 12), bytes.length - 4);
		return;
	}
	const entriesAt = fileBlock === 0 ? 32 : 8;
	const [limit, count] = [bytes.readUInt16LE(entriesAt), bytes.readUInt16LE(entriesAt + 2)];
	const tail = entriesAt + 8 * limit;
	if (tail + 8 > bytes.length || count > limit) return;
	const entries = crc32c(seed, bytes, 0, entriesAt + 8 * count);
	bytes.writeUInt32LE(crc32cOfZeros(crc32c(entries, bytes, tail, tail + 4), 4), tail + 4);
}
