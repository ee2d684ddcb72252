import { inodeAt } from '../../helpers/tree.ts';
import { isContained, it, read } from './scene.ts';

const FILE = 'sizes/4096';

/** An inode whose 200 bytes are inline, the rest of them in an attribute `system.data` at `valueAt`. */
const inlineAt = (valueAt: number) => (record: Buffer) => {
	record.writeUInt32LE(200, 4);
	record.writeUInt32LE(0x10000000, 0x20);
	const area = record.subarray(128 + record.readUInt16LE(0x80));
	area.fill(0);
	area.writeUInt32LE(0xea020000, 0);
	area.set([4, 7], 4);
	area.writeUInt16LE(valueAt, 4 + 2);
	area.writeUInt32LE(40, 4 + 8);
	area.write('data', 4 + 16);
};

it(
	'inline data of 4096 bytes that is nowhere',
	isContained,
	FILE,
	'inline-data',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(0x10000000, 0x20)),
	read(FILE),
);
it(
	'inline data of one byte more than fits, and no place for that',
	isContained,
	FILE,
	'inline-data',
	({ patchInode }) =>
		patchInode((r) => {
			r.writeUInt32LE(61, 4);
			r.writeUInt32LE(0x10000000, 0x20);
		}),
	read(FILE),
);
it(
	'inline data in an inode of its own',
	isContained,
	FILE,
	'inline-data',
	({ patchInode }) =>
		patchInode((r) => {
			inlineAt(0)(r);
			r.writeUInt32LE(13, 128 + r.readUInt16LE(0x80) + 4 + 4);
		}),
	read(FILE),
);
it(
	'inline and in extents at once',
	isContained,
	FILE,
	'inode-flags',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(0x10080000, 0x20)),
	read(FILE),
);
it(
	'an inode of no type',
	isContained,
	FILE,
	'inode-mode',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0o644, 0)),
	read(FILE),
);
it('a deleted inode', isContained, FILE, 'deleted-inode', ({ patchInode }) => patchInode((r) => r.fill(0)), read(FILE));
it(
	'an inode without links',
	isContained,
	FILE,
	'deleted-inode',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0, 0x1a)),
	read(FILE),
);
it(
	'a size past 2^53',
	isContained,
	FILE,
	'inode-size',
	({ patchInode }) => patchInode((r) => r.writeUInt32LE(0xffffffff, 0x6c)),
	read(FILE),
);
it(
	'fields past the end of the record',
	isContained,
	FILE,
	'inode-extra-size',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0xfffc, 0x80)),
	read(FILE),
);
it(
	'fields of a length that is no multiple of 4',
	isContained,
	FILE,
	'inode-extra-size',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(30, 0x80)),
	read(FILE),
);

for (const [what, sizeBytes] of [
	['no bytes', 0],
	['more than a block', 1024],
] as const) {
	it(
		`a symbolic link of ${what}`,
		isContained,
		'links/symlink-100',
		'symlink-size',
		({ patchInode }) => patchInode((r) => r.writeUInt32LE(sizeBytes, 4)),
		(fs) => fs.readLink(inodeAt(fs, 'links/symlink-100')),
	);
}
for (const valueAt of [0, 8, 0xfff0]) {
	it(
		`inline data at offset ${valueAt} of its area`,
		isContained,
		FILE,
		'xattr',
		({ patchInode }) => patchInode(inlineAt(valueAt)),
		read(FILE),
	);
}
