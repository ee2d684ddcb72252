/**
 * Finds the partitions of a whole disk, so that "this is no file system" can say what it is instead. Sources: the UEFI
 * specification, chapter 5, for GPT; the PC's master boot record with its chain of extended boot records.
 */
import { crc32 } from 'node:zlib';
import { bytes, struct, u8, u16le, u32le, u64le } from '../bytes/struct.ts';
import type { BlockDevice } from './device.ts';

export interface Partition {
	/** As the kernel numbers it: sda1 is 1. Slots that are empty keep their numbers. */
	readonly index: number;
	readonly startBytes: number;
	readonly sizeBytes: number;
	/** `0x83` in an MBR, a GUID in a GPT. */
	readonly type: string;
}

export interface PartitionTable {
	readonly scheme: 'mbr' | 'gpt';
	readonly partitions: readonly Partition[];
}

const MBR_SECTOR_BYTES = 512;
const MBR_SIGNATURE = 0xaa55;
const MBR_ENTRIES_AT = 446;
const TYPE_PROTECTIVE = 0xee;
const EXTENDED_TYPES = [0x05, 0x0f, 0x85];
const FIRST_LOGICAL_INDEX = 5;
const MAX_LOGICAL = 256;
const MAX_GPT_ENTRIES = 1024;
const GPT_SECTOR_SIZES = [512, 4096];

const bootRecordLayout = struct('boot record', 512, { signature: u16le(0x1fe) });

const mbrEntryLayout = struct('MBR partition entry', 16, {
	status: u8(0x0),
	type: u8(0x4),
	startSector: u32le(0x8),
	sectorCount: u32le(0xc),
});

const gptHeaderLayout = struct('GPT header', 92, {
	signature: bytes(8)(0x00),
	headerBytes: u32le(0x0c),
	headerChecksum: u32le(0x10),
	entriesSector: u64le(0x48),
	entryCount: u32le(0x50),
	entryBytes: u32le(0x54),
	entriesChecksum: u32le(0x58),
});

const gptEntryLayout = struct('GPT partition entry', 128, {
	type: bytes(16)(0x00),
	firstSector: u64le(0x20),
	lastSector: u64le(0x28),
});

/** Undefined where the device starts with no sound table. Errors: `io`. */
export function readPartitionTable(device: BlockDevice): PartitionTable | undefined {
	const record = readBootRecord(device, 0);
	if (!record) return undefined;
	const primary = record.filter(({ type }) => type !== 0);
	if (primary.some(({ type }) => type === TYPE_PROTECTIVE)) {
		const partitions = readGpt(device);
		return partitions && { scheme: 'gpt', partitions };
	}
	const isSound = primary.every(
		({ status, startSector, sectorCount }) =>
			(status & 0x7f) === 0 && startSector > 0 && sectorCount > 0 && startSector * MBR_SECTOR_BYTES < device.sizeBytes,
	);
	if (primary.length === 0 || !isSound) return undefined;
	return { scheme: 'mbr', partitions: [...primaryPartitions(record), ...logicalPartitions(device, record)] };
}

type MbrEntry = ReturnType<typeof mbrEntryLayout.decode>;

/** The four entries of a boot record, empty ones too. */
function readBootRecord(device: BlockDevice, sector: number): MbrEntry[] | undefined {
	if ((sector + 1) * MBR_SECTOR_BYTES > device.sizeBytes) return undefined;
	const record = Buffer.alloc(MBR_SECTOR_BYTES);
	device.read(sector * MBR_SECTOR_BYTES, record);
	if (bootRecordLayout.decode(record).signature !== MBR_SIGNATURE) return undefined;
	return [0, 1, 2, 3].map((slot) => mbrEntryLayout.decode(record, MBR_ENTRIES_AT + slot * mbrEntryLayout.sizeBytes));
}

function primaryPartitions(record: MbrEntry[]): Partition[] {
	return record.flatMap((entry, slot) => (entry.type === 0 ? [] : [mbrPartition(entry, slot + 1, 0)]));
}

/** Walks the chain in the extended partition, each record once: a chain that bites its tail ends there. */
function logicalPartitions(device: BlockDevice, record: MbrEntry[]): Partition[] {
	const extended = record.find(({ type }) => EXTENDED_TYPES.includes(type));
	if (!extended) return [];
	const found: Partition[] = [];
	const seen = new Set<number>();
	let sector = extended.startSector;
	while (!seen.has(sector) && seen.size < MAX_LOGICAL) {
		seen.add(sector);
		const link = readBootRecord(device, sector);
		if (!link) break;
		const [logical, next] = link;
		if (logical!.type !== 0 && logical!.sectorCount > 0) {
			found.push(mbrPartition(logical!, FIRST_LOGICAL_INDEX + found.length, sector));
		}
		if (!EXTENDED_TYPES.includes(next!.type)) break;
		sector = extended.startSector + next!.startSector;
	}
	return found;
}

function mbrPartition({ type, startSector, sectorCount }: MbrEntry, index: number, baseSector: number): Partition {
	return {
		index,
		startBytes: (baseSector + startSector) * MBR_SECTOR_BYTES,
		sizeBytes: sectorCount * MBR_SECTOR_BYTES,
		type: `0x${type.toString(16).padStart(2, '0')}`,
	};
}

/** From the table at the start of the disk, or else from the copy at its end. */
function readGpt(device: BlockDevice): Partition[] | undefined {
	for (const sectorBytes of GPT_SECTOR_SIZES) {
		for (const byteOffset of [sectorBytes, device.sizeBytes - sectorBytes]) {
			const partitions = readGptAt(device, byteOffset, sectorBytes);
			if (partitions) return partitions;
		}
	}
	return undefined;
}

function readGptAt(device: BlockDevice, byteOffset: number, sectorBytes: number): Partition[] | undefined {
	const header = readGptHeader(device, byteOffset, sectorBytes);
	if (!header) return undefined;
	const { entryBytes, entryCount, entriesSector } = header;
	const isBounded = entryCount <= MAX_GPT_ENTRIES && entryBytes >= gptEntryLayout.sizeBytes && entryBytes <= 4096;
	const entries = isBounded ? readOrNothing(device, entriesSector * sectorBytes, entryCount * entryBytes) : undefined;
	if (!entries || crc32(entries) !== header.entriesChecksum) return undefined;
	const partitions: Partition[] = [];
	for (let slot = 0; slot < entryCount; slot++) {
		const at = slot * entryBytes;
		const type = formatGuid(entries.subarray(at, at + 16));
		if (type === '00000000-0000-0000-0000-000000000000' || !hasSafeNumbers(entries, at + 0x20, 2)) continue;
		const { firstSector, lastSector } = gptEntryLayout.decode(entries, at);
		if (lastSector < firstSector || (lastSector + 1) * sectorBytes > device.sizeBytes) continue;
		partitions.push({
			index: slot + 1,
			startBytes: firstSector * sectorBytes,
			sizeBytes: (lastSector - firstSector + 1) * sectorBytes,
			type,
		});
	}
	return partitions;
}

function readGptHeader(device: BlockDevice, byteOffset: number, sectorBytes: number) {
	const sector = readOrNothing(device, byteOffset, sectorBytes);
	if (sector?.toString('latin1', 0, 8) !== 'EFI PART' || !hasSafeNumbers(sector, 0x48, 1)) return undefined;
	const header = gptHeaderLayout.decode(sector);
	if (header.headerBytes < gptHeaderLayout.sizeBytes || header.headerBytes > sectorBytes) return undefined;
	const covered = gptHeaderLayout.encode({ headerChecksum: 0 }, Buffer.from(sector.subarray(0, header.headerBytes)));
	return crc32(covered) === header.headerChecksum ? header : undefined;
}

function readOrNothing(device: BlockDevice, byteOffset: number, lengthBytes: number): Buffer | undefined {
	if (byteOffset < 0 || byteOffset + lengthBytes > device.sizeBytes) return undefined;
	const content = Buffer.alloc(lengthBytes);
	device.read(byteOffset, content);
	return content;
}

/** Whether `count` 64-bit numbers from `at` on are numbers that can be counted with. */
function hasSafeNumbers(content: Buffer, at: number, count: number): boolean {
	for (let i = 0; i < count; i++) if (content.readUInt32LE(at + 8 * i + 4) >= 0x200000) return false;
	return true;
}

/** Mixed-endian, as UEFI writes it. */
function formatGuid(raw: Buffer): string {
	const hex = (from: number, to: number) => raw.toString('hex', from, to);
	const reversed = (from: number, to: number) => Buffer.from(raw.subarray(from, to)).reverse().toString('hex');
	return [reversed(0, 4), reversed(4, 6), reversed(6, 8), hex(8, 10), hex(10, 16)].join('-').toUpperCase();
}
