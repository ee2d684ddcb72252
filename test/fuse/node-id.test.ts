import test from 'ava';
import { inoLow, ROOT_NODE } from '../../src/fuse/node-id.ts';

test('the lower half of st_ino tells the copies of one file apart, and files of one copy', (t) => {
	const ofOneFile = new Set<number>();
	for (let copy = 1; copy <= 100_000; copy++) ofOneFile.add(inoLow(copy, 4711));
	t.is(ofOneFile.size, 100_000);
	const ofOneCopy = new Set<number>();
	for (let inode = 2 ** 32 - 50_000; inode < 2 ** 32; inode++) ofOneCopy.add(inoLow(3, inode));
	t.is(ofOneCopy.size, 50_000);
});

test('the numbers are the same every time: clients keep them', (t) => {
	// MurmurHash3's finalizer of 1 is 0x514e28b7, of 2 it is 0x30f4c306.
	t.is(inoLow(0, 1), ROOT_NODE.low);
	t.is(inoLow(1, 2), 0x514e28b9);
	t.is(inoLow(2, 2), 0x30f4c308);
});
