/** Changes ext structures in an image file behind its file system's back, checksums included. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { SUPERBLOCK_BYTE_OFFSET, SUPERBLOCK_CHECKSUM_AT, superblockLayout } from '../../src/ext/layout.ts';

export class ImageEditor {
	readonly #fd: number;

	constructor(path: string) {
		this.#fd = openSync(path, 'r+');
	}

	read(byteOffset: number, lengthBytes: number): Buffer {
		const bytes = Buffer.alloc(lengthBytes);
		readSync(this.#fd, bytes, 0, lengthBytes, byteOffset);
		return bytes;
	}

	write(byteOffset: number, bytes: Uint8Array): void {
		writeSync(this.#fd, bytes, 0, bytes.length, byteOffset);
	}

	/** Reads some bytes, lets `change` work on them, and writes them back. */
	patch(byteOffset: number, lengthBytes: number, change: (bytes: Buffer) => void): void {
		const bytes = this.read(byteOffset, lengthBytes);
		change(bytes);
		this.write(byteOffset, bytes);
	}

	superblock(): ReturnType<typeof superblockLayout.decode> {
		return superblockLayout.decode(this.read(SUPERBLOCK_BYTE_OFFSET, superblockLayout.sizeBytes));
	}

	/** Sets fields of the superblock; its checksum is made right again. */
	setSuperblock(values: Parameters<typeof superblockLayout.encode>[0]): void {
		this.patch(SUPERBLOCK_BYTE_OFFSET, superblockLayout.sizeBytes, (bytes) => {
			superblockLayout.encode(values, bytes);
			bytes.writeUInt32LE(crc32c(0xffffffff, bytes, 0, SUPERBLOCK_CHECKSUM_AT), SUPERBLOCK_CHECKSUM_AT);
		});
	}

	close(): void {
		closeSync(this.#fd);
	}
}

export function editImage<T>(path: string, action: (editor: ImageEditor) => T): T {
	const editor = new ImageEditor(path);
	try {
		return action(editor);
	} finally {
		editor.close();
	}
}
