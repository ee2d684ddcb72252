import { join } from 'node:path';
import test from 'ava';
import type { BlockDevice } from '../../src/block/device.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import { readPartitionTable } from '../../src/block/partition-table.ts';
import { programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

/** sfdisk writes the table; what it says that it wrote is the expectation. */
const asSfdiskSays = test.macro(async (t, script: string, damage: 'sound' | 'primary header lost') => {
	const image = join(temporaryDirectory(t), 'disk');
	await runOk('truncate', ['-s', '64M', image]);
	await runOk('sfdisk', ['-q', image], { input: script });
	const { partitiontable } = JSON.parse((await runOk('sfdisk', ['-J', image])).toString()) as {
		partitiontable: {
			label: string;
			sectorsize: number;
			partitions: { node: string; start: number; size: number; type: string }[];
		};
	};
	if (damage !== 'sound')
		await runOk('dd', ['if=/dev/zero', `of=${image}`, 'bs=512', 'seek=1', 'count=1', 'conv=notrunc']);
	const device = FileDevice.open(image, 'read');
	t.teardown(() => device.close());
	t.deepEqual(readPartitionTable(device), {
		scheme: partitiontable.label === 'gpt' ? 'gpt' : 'mbr',
		partitions: partitiontable.partitions.map(({ node, start, size, type }) => ({
			index: Number(node.slice(image.length)),
			startBytes: start * partitiontable.sectorsize,
			sizeBytes: size * partitiontable.sectorsize,
			type: partitiontable.label === 'gpt' ? type : `0x${type.padStart(2, '0')}`,
		})),
	});
});

const it = programs('sfdisk') ? test : test.skip;
it('GPT with a gap in its numbers', asSfdiskSays, 'label: gpt\n1: size=10M\n3: size=20M, type=swap\n', 'sound');
it('GPT whose first header is lost', asSfdiskSays, 'label: gpt\nsize=10M\nsize=20M\n', 'primary header lost');
it('MBR with the first slot empty', asSfdiskSays, 'label: dos\n2: size=10M, type=83\n3: size=5M, type=82\n', 'sound');
it(
	'MBR with logical partitions',
	asSfdiskSays,
	'label: dos\n1: size=10M\n4: type=5\n5: size=10M\n6: size=8M, type=82\n7: size=5M\n',
	'sound',
);

function memoryDevice(content: Buffer): BlockDevice {
	return {
		sizeBytes: content.length,
		read: (byteOffset, into) => void content.copy(into, 0, byteOffset, byteOffset + into.length),
		close: () => {},
	};
}

test('an extended boot record that names itself ends the chain', (t) => {
	const disk = Buffer.alloc(1 << 20);
	const writeEntry = (sector: number, slot: number, type: number, start: number, count: number) => {
		disk.writeUInt16LE(0xaa55, sector * 512 + 510);
		const at = sector * 512 + 446 + 16 * slot;
		disk[at + 4] = type;
		disk.writeUInt32LE(start, at + 8);
		disk.writeUInt32LE(count, at + 12);
	};
	writeEntry(0, 0, 0x05, 100, 1000);
	writeEntry(100, 0, 0x83, 10, 50);
	writeEntry(100, 1, 0x05, 0, 100);
	t.deepEqual(readPartitionTable(memoryDevice(disk))?.partitions, [
		{ index: 1, startBytes: 51200, sizeBytes: 512000, type: '0x05' },
		{ index: 5, startBytes: 56320, sizeBytes: 25600, type: '0x83' },
	]);
});

test('no table: zeros, a tiny device, a boot sector whose entries make no sense', (t) => {
	t.is(readPartitionTable(memoryDevice(Buffer.alloc(4096))), undefined);
	t.is(readPartitionTable(memoryDevice(Buffer.alloc(100))), undefined);
	const bootSector = Buffer.alloc(4096, 0x33);
	bootSector.writeUInt16LE(0xaa55, 510);
	t.is(readPartitionTable(memoryDevice(bootSector)), undefined);
});
