/**
 * Damages images and reads all of them: every input must end in answers or in NoonmarkErrors, soon and in little memory.
 * Two kinds of damage: bytes anywhere in the metadata, and fields of known structures with interesting values, whose
 * checksums are made right again so that the damage gets past them.
 */

import type { BlockDevice } from '../../src/block/device.ts';
import { LineCache } from '../../src/block/line-cache.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { NoonmarkError } from '../../src/errors.ts';
import { ExtFileSystem, ROOT_INODE } from '../../src/ext/filesystem.ts';
import { descriptorChecksum } from '../../src/ext/group-descriptors.ts';
import { type Inode, inodeChecksum } from '../../src/ext/inode.ts';
import {
	groupDescriptorLayout,
	inodeLayout,
	SUPERBLOCK_BYTE_OFFSET,
	SUPERBLOCK_CHECKSUM_AT,
	superblockLayout,
} from '../../src/ext/layout.ts';
import { usedRanges } from '../../src/ext/used-map.ts';
import type { Random } from '../helpers/random.ts';

/** An image in memory, with changes laid over it. */
export class DamagedImage implements BlockDevice {
	readonly sizeBytes: number;
	readonly #sound: Buffer;
	readonly #bytes: Buffer;
	readonly #touched: [start: number, end: number][] = [];

	constructor(sound: Buffer) {
		this.#sound = sound;
		this.#bytes = Buffer.from(sound);
		this.sizeBytes = sound.length;
	}

	read(byteOffset: number, into: Uint8Array): void {
		if (byteOffset + into.length > this.sizeBytes) throw new RangeError('a read past the end of the device');
		this.#bytes.copy(into, 0, byteOffset, byteOffset + into.length);
	}

	close(): void {}

	patch(byteOffset: number, lengthBytes: number, change: (bytes: Buffer) => void): void {
		change(this.#bytes.subarray(byteOffset, byteOffset + lengthBytes));
		this.#touched.push([byteOffset, byteOffset + lengthBytes]);
	}

	/** Sound again. */
	reset(): void {
		for (const [start, end] of this.#touched.splice(0)) this.#sound.copy(this.#bytes, start, start, end);
	}
}

/** Where the metadata of a sound image is. */
export interface Target {
	readonly image: DamagedImage;
	readonly inodes: readonly { readonly number: number; readonly byteOffset: number }[];
	readonly metadataBlocks: readonly number[];
	readonly fs: ExtFileSystem;
}

const MAX_LISTED_INODES = 4000;

export function makeTarget(sound: Buffer): Target {
	const image = new DamagedImage(sound);
	const fs = ExtFileSystem.open(image);
	const { inodesPerGroup, inodeSizeBytes, blockSizeBytes } = fs.superblock;
	const inodes: { number: number; byteOffset: number }[] = [];
	const metadataBlocks = new Set<number>();
	const walk = (inodeNumber: number) => {
		const inode = fs.readInode(inodeNumber);
		const group = Math.floor((inodeNumber - 1) / inodesPerGroup);
		const inTable = ((inodeNumber - 1) % inodesPerGroup) * inodeSizeBytes;
		inodes.push({ number: inodeNumber, byteOffset: fs.groups.get(group).inodeTable * blockSizeBytes + inTable });
		if (inode.xattrBlock !== 0) metadataBlocks.add(inode.xattrBlock);
		addMapBlocks(inode, metadataBlocks, blockSizeBytes, sound);
		if ((inode.mode & 0o170000) !== 0o040000 || inodes.length > MAX_LISTED_INODES) return;
		for (let at = 0; at < inode.sizeBytes && !(inode.flags & 0x10000000); at += blockSizeBytes) {
			metadataBlocks.add(fs.files.runAt(inode, at / blockSizeBytes).block);
		}
		fs.readDirectory(inode, 0, (name, child) => {
			if (!/^\.\.?$/.test(Buffer.from(name).toString('latin1'))) walk(child);
			return true;
		});
	};
	walk(ROOT_INODE);
	metadataBlocks.delete(0);
	return { image, inodes, metadataBlocks: [...metadataBlocks], fs };
}

/** The first node below an extent root, or the first block of pointers: enough to damage trees of depth. */
function addMapBlocks(inode: Inode, blocks: Set<number>, blockSizeBytes: number, sound: Buffer): void {
	const { record } = inode;
	const isTree = inode.flags & 0x80000 && record.readUInt16LE(0x28 + 6) > 0;
	const block = isTree ? record.readUInt32LE(0x28 + 16) : inode.flags & 0x80000 ? 0 : record.readUInt32LE(0x28 + 48);
	if (block > 0 && block * blockSizeBytes < sound.length && (inode.mode & 0o170000) === 0o100000) blocks.add(block);
}

const INTERESTING = [
	0, 1, 2, 3, 4, 5, 8, 0x0c, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x8001, 0xffff, 0xf30a, 0x7fffffff, 0x80000000,
	0xffffffff,
];

/** Damages the target's image once; returns what was done, for the report. */
export function damage(target: Target, random: Random): string {
	const kind = random.integer(10);
	if (kind < 2) return damageSuperblock(target, random);
	if (kind < 6) return damageInode(target, random);
	if (kind < 7) return damageDescriptor(target, random);
	return damageBlock(target, random);
}

function poke(bytes: Buffer, at: number, size: number, random: Random): void {
	const value = random.integer(3) === 0 ? random.integer(2 ** 32) : random.pick(INTERESTING);
	if (size === 1) bytes.writeUInt8(value & 0xff, at);
	else if (size === 2) bytes.writeUInt16LE(value & 0xffff, at);
	else if (at + 4 <= bytes.length) bytes.writeUInt32LE(value >>> 0, at);
}

function pokeField(bytes: Buffer, fields: Record<string, { at: number; size: number }>, random: Random): string {
	const [name, field] = random.pick(Object.entries(fields).filter(([, { at }]) => at < bytes.length));
	poke(bytes, field.at, Math.min(field.size, 4), random);
	return name;
}

function damageSuperblock({ image }: Target, random: Random): string {
	let what = '';
	image.patch(SUPERBLOCK_BYTE_OFFSET, superblockLayout.sizeBytes, (bytes) => {
		what = pokeField(bytes, superblockLayout.fields, random);
		bytes.writeUInt32LE(crc32c(0xffffffff, bytes, 0, SUPERBLOCK_CHECKSUM_AT), SUPERBLOCK_CHECKSUM_AT);
	});
	return `superblock.${what}`;
}

function damageInode({ image, inodes, fs }: Target, random: Random): string {
	const { number, byteOffset } = random.pick(inodes);
	const { inodeSizeBytes } = fs.superblock;
	let what = '';
	image.patch(byteOffset, inodeSizeBytes, (bytes) => {
		if (random.integer(2) === 0) what = pokeField(bytes, inodeLayout.fields, random);
		else {
			const at = random.integer(2) === 0 ? 0x28 + 2 * random.integer(30) : 2 * random.integer(inodeSizeBytes / 2);
			poke(bytes, at, 2, random);
			what = `byte ${at}`;
		}
		const crc = inodeChecksum(fs.superblock, number, bytes);
		bytes.writeUInt16LE(crc & 0xffff, inodeLayout.at.checksumLow);
		if (inodeSizeBytes > 128) bytes.writeUInt16LE(crc >>> 16, inodeLayout.at.checksumHigh);
	});
	return `inode ${number}: ${what}`;
}

function damageDescriptor({ image, fs }: Target, random: Random): string {
	const { blockSizeBytes, descriptorSizeBytes } = fs.superblock;
	let what = '';
	image.patch((Math.floor(1024 / blockSizeBytes) + 1) * blockSizeBytes, descriptorSizeBytes, (bytes) => {
		what = pokeField(bytes, groupDescriptorLayout.fields, random);
		bytes.writeUInt16LE(descriptorChecksum(fs.superblock, 0, bytes) ?? 0, groupDescriptorLayout.at.checksum);
	});
	return `descriptor.${what}`;
}

/** Only images without metadata checksums let this past the first look. */
function damageBlock({ image, metadataBlocks, fs }: Target, random: Random): string {
	const { blockSizeBytes } = fs.superblock;
	const block = random.pick(metadataBlocks);
	const at = 2 * random.integer(random.pick([32, blockSizeBytes / 2 - 2]));
	image.patch(block * blockSizeBytes, blockSizeBytes, (bytes) => poke(bytes, at, random.pick([1, 2, 4]), random));
	return `block ${block}: byte ${at}`;
}

const MAX_VISITED = 3000;
const MAX_READ_BYTES = 256 * 1024;

/** Reads what can be read; returns the codes of the errors. Anything but a NoonmarkError comes out. */
export function readEverything(device: BlockDevice): Set<string> {
	const codes = new Set<string>();
	const attempt = <T>(action: () => T): T | undefined => {
		try {
			return action();
		} catch (error) {
			if (!(error instanceof NoonmarkError)) throw error;
			codes.add(`${error.family}/${error.code}`);
			return undefined;
		}
	};
	const fs = attempt(() => ExtFileSystem.open(device, { cache: new LineCache(4 << 20) }));
	if (!fs) return codes;
	attempt(() => fs.statfs());
	attempt(() => usedRanges(fs, () => {}));
	const seen = new Set<number>();
	const queue = [ROOT_INODE];
	for (let number = queue.pop(); number !== undefined && seen.size < MAX_VISITED; number = queue.pop()) {
		if (seen.has(number)) continue;
		seen.add(number);
		const inode = attempt(() => fs.readInode(number!));
		if (inode) readInodeFully(fs, inode, attempt, queue);
	}
	return codes;
}

function readInodeFully(
	fs: ExtFileSystem,
	inode: Inode,
	attempt: <T>(action: () => T) => T | undefined,
	queue: number[],
): void {
	const type = inode.mode & 0o170000;
	for (const name of attempt(() => fs.listXattrs(inode)) ?? []) attempt(() => fs.getXattr(inode, name));
	if (type === 0o120000) attempt(() => fs.readLink(inode));
	if (type === 0o100000) {
		const into = Buffer.alloc(Math.min(inode.sizeBytes, MAX_READ_BYTES));
		attempt(() => fs.readFile(inode, 0, into));
		attempt(() => fs.readFile(inode, Math.max(0, inode.sizeBytes - 5000), into.subarray(0, 5000)));
		attempt(() => fs.seek(inode, 0, 'hole'));
		attempt(() => fs.seek(inode, Math.floor(inode.sizeBytes / 2), 'data'));
	}
	if (type === 0o040000) {
		let last = Buffer.from('nothing');
		attempt(() =>
			fs.readDirectory(inode, 0, (name, child) => {
				if (queue.length < MAX_VISITED) queue.push(child);
				last = Buffer.from(name);
				return true;
			}),
		);
		attempt(() => fs.lookup(inode, last));
		attempt(() => fs.lookup(inode, Buffer.from('no such name')));
	}
}
