/**
 * Damage to an image: bytes anywhere in its metadata, or fields of known structures with interesting values, whose
 * checksums are made right again so that the damage gets past them.
 */
import { crc32c } from '../../../src/bytes/crc32c.ts';
import { descriptorChecksum } from '../../../src/ext/group-descriptors.ts';
import { inodeChecksum, inodeChecksumSeed } from '../../../src/ext/inode.ts';
import {
	groupDescriptorLayout,
	inodeLayout,
	SUPERBLOCK_BYTE_OFFSET,
	SUPERBLOCK_CHECKSUM_AT,
	superblockLayout,
	XATTR_BLOCK_CHECKSUM_AT,
} from '../../../src/ext/layout.ts';
import { xattrBlockChecksum } from '../../../src/ext/xattr.ts';
import type { Random } from '../../helpers/random.ts';
import { sealDirectoryBlock } from './directory-seal.ts';
import { damageJournal } from './journal-damage.ts';
import { placesIn } from './places.ts';
import { flipBytes, poke, pokeField } from './poke.ts';
import type { MetadataBlock, Target } from './target.ts';

const MAX_DAMAGES = 3;

/** Damages the target's image; returns what was done, for the report. */
export function damage(target: Target, random: Random): string {
	return Array.from({ length: 1 + random.integer(MAX_DAMAGES) }, () => damageOnce(target, random)).join('; ');
}

function damageOnce(target: Target, random: Random): string {
	const kind = random.integer(12);
	const needsRecovery = target.fs.superblock.features.has('needs_recovery');
	if (needsRecovery && kind < 6) return damageJournal(target, random);
	if (kind < 2) return damageSuperblock(target, random);
	if (kind < 5) return damageInode(target, random);
	if (kind < 6) return damageDescriptor(target, random);
	if (kind < 10 && target.blocks.length > 0) return damageBlock(target, random);
	return flipAnywhere(target, random);
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

function damageBlock({ image, blocks, fs }: Target, random: Random): string {
	const { blockSizeBytes } = fs.superblock;
	const target = random.pick(blocks);
	let at = 0;
	image.patch(target.block * blockSizeBytes, blockSizeBytes, (bytes) => {
		const [place, size] = random.pick(placesIn(target, bytes));
		at = place;
		poke(bytes, place, size, random);
		seal(fs, target, bytes);
	});
	return `${target.kind} of inode ${target.owner.number} at block ${target.block}: byte ${at}`;
}

/** Makes the checksum of a block right again. */
function seal(fs: Target['fs'], { block, kind, owner, fileBlock }: MetadataBlock, bytes: Buffer): void {
	if (!fs.superblock.features.has('metadata_csum')) return;
	const seed = inodeChecksumSeed(fs.superblock, owner.number, owner.generation);
	if (kind === 'xattrs') bytes.writeUInt32LE(xattrBlockChecksum(fs.blocks, block, bytes), XATTR_BLOCK_CHECKSUM_AT);
	if (kind === 'extents') {
		const tail = 12 + 12 * bytes.readUInt16LE(4);
		if (tail + 4 <= bytes.length) bytes.writeUInt32LE(crc32c(seed, bytes, 0, tail), tail);
	}
	if (kind === 'directory') sealDirectoryBlock(seed, owner, fileBlock, bytes);
}

/** Bytes of the disk's beginning, of an inode table, or of any metadata block. No checksum is made right. */
function flipAnywhere({ image, fs, blocks, inodes }: Target, random: Random): string {
	const { blockSizeBytes } = fs.superblock;
	const starts = [0, random.pick(inodes).byteOffset & ~(blockSizeBytes - 1)];
	if (blocks.length > 0) starts.push(random.pick(blocks).block * blockSizeBytes);
	const start = random.pick(starts);
	let what = '';
	image.patch(start, Math.max(4096, blockSizeBytes), (bytes) => {
		what = flipBytes(bytes, random);
	});
	return `bytes ${what} from ${start} on`;
}
