/** Records of fast commits at the ends of what they can say (fs/ext4/fast_commit.c, ext4_fc_value_len_isvalid). */
import test from 'ava';
import * as layout from '../../src/ext/fast-commit-layout.ts';

test('lengths that records can have, in a volume with inodes of 256 bytes', (t) => {
	const lengths = [0, 4, 7, 8, 9, 11, 12, 15, 16, 17, 131, 132, 260, 261, 263, 264];
	const right = (tag: number) => lengths.filter((length) => layout.isLengthRight(tag, length, 256));
	t.deepEqual(right(layout.TAG_ADD_RANGE), [16]);
	t.deepEqual(right(layout.TAG_DELETE_RANGE), [12]);
	for (const tag of [layout.TAG_CREATE, layout.TAG_LINK, layout.TAG_UNLINK]) {
		t.deepEqual(right(tag), [9, 11, 12, 15, 16, 17, 131, 132, 260, 261, 263]);
	}
	t.deepEqual(right(layout.TAG_INODE), [132, 260]);
	t.deepEqual(right(layout.TAG_PAD), lengths);
	t.deepEqual(right(layout.TAG_TAIL), lengths.slice(3));
	t.deepEqual(right(layout.TAG_HEAD), [8]);
	t.deepEqual([right(0), right(10)], [[], []]);
});

test('ranges that are as long as they can be, written and not, beyond 2^32 blocks', (t) => {
	const decode = (hex: string) => layout.decodeRecord(layout.TAG_ADD_RANGE, Buffer.from(hex, 'hex'));
	const range = { kind: 'map', inode: 12, fileBlock: 3 };
	t.deepEqual(decode('0c000000 03000000 0080 0100 02000000'.replaceAll(' ', '')), {
		...{ ...range, blockCount: 32768, block: 2 ** 32 + 2 },
	});
	t.deepEqual(decode('0c000000 03000000 ffff 0000 02000000'.replaceAll(' ', '')), {
		...{ ...range, blockCount: 32767, block: 0 },
	});
});
