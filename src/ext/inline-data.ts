import { corrupt } from '../errors.ts';
import { BLOCK_FIELD_BYTES, blockField, type Inode } from './inode.ts';
import { INDEX_SYSTEM, inInodeEntries } from './xattr.ts';

/** What i_block holds of the data; the rest is in the attribute `system.data`. */
export const INLINE_IN_BLOCK_FIELD_BYTES = BLOCK_FIELD_BYTES; // EXT4_MIN_INLINE_DATA_SIZE

/** The bytes that an inode with INLINE_DATA holds: at least 60, and perhaps more or fewer than its size says. */
export function inlineContent(inode: Inode): Buffer {
	const rest = inInodeEntries(inode).find(
		(entry) => entry.nameIndex === INDEX_SYSTEM && entry.name.toString('latin1') === 'data',
	);
	if (!rest && inode.sizeBytes > INLINE_IN_BLOCK_FIELD_BYTES) {
		throw corrupt(
			'inline-data',
			`inode ${inode.number}: has ${inode.sizeBytes} bytes of inline data, but no attribute system.data`,
		);
	}
	if (rest && rest.valueInode !== 0)
		throw corrupt('inline-data', `inode ${inode.number}: its inline data is in another inode`);
	return Buffer.concat([blockField(inode), rest?.value ?? Buffer.alloc(0)]);
}
