import { closeSync, readSync } from 'node:fs';
import { constants } from 'node:os';
import test from 'ava';
import { socketPair } from '../../src/system/libc.ts';
import { WriteBatch } from '../../src/system/write-batch.ts';

const unexpected = (errno: number) => {
	throw new Error(`errno ${errno}`);
};

test('what was added is written in order, batch after batch', (t) => {
	const [here, there] = socketPair();
	const batch = new WriteBatch(here, 5, 10);
	const into = Buffer.alloc(100);
	for (const words of [['one'], ['two', 'three', 'a fourth!!'], [], ['1', '2', '3', '4', '5']]) {
		for (const word of words) batch.add(Buffer.from(word));
		t.is(batch.count, words.length);
		t.is(batch.isFull, words.length === 5);
		batch.write(unexpected);
		t.is(batch.count, 0);
		const expected = words.join('');
		if (expected !== '') t.is(into.toString('utf8', 0, readSync(there, into)), expected);
	}
	closeSync(here);
	closeSync(there);
});

test('each write that fails is told, and the next batch is as good as ever', (t) => {
	const [here, there] = socketPair();
	const batch = new WriteBatch(here, 3, 10);
	closeSync(there);
	for (const count of [3, 1, 2]) {
		const errnos: number[] = [];
		for (let i = 0; i < count; i++) batch.add(Buffer.from('lost'));
		batch.write((errno) => errnos.push(errno));
		t.deepEqual(errnos, Array(count).fill(constants.errno.EPIPE));
	}
	closeSync(here);
});

test('a descriptor that cannot be written to fails every write', (t) => {
	const batch = new WriteBatch(1 << 20, 3, 10);
	const errnos: number[] = [];
	for (let i = 0; i < 3; i++) batch.add(Buffer.from('lost'));
	batch.write((errno) => errnos.push(errno));
	t.deepEqual(errnos, Array(3).fill(constants.errno.EBADF));
});
