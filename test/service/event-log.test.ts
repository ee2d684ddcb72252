import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { VolumeEvent } from '../../src/control/messages.ts';
import { EventLog, readEvents } from '../../src/service/event-log.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

function newLog(t: ExecutionContext) {
	const storage = temporaryDirectory(t);
	return { storage, log: new EventLog(storage, () => 1_800_000_000_000) };
}

test('events outlive the log; the line that a power cut tore is left out, and takes no later one with it', (t) => {
	const { storage, log } = newLog(t);
	t.deepEqual(readEvents(storage), []);
	log.note('copy-evicted', 'maximum-size', 'one');
	log.note('storage-in-memory', null, 'two');
	appendFileSync(join(storage, 'events.jsonl'), '{"time":"2027-');
	const time = '2027-01-15T08:00:00.000Z';
	const expected = [
		{ time, kind: 'copy-evicted', fault: 'maximum-size', message: 'one' },
		{ time, kind: 'storage-in-memory', fault: null, message: 'two' },
	];
	const next = new EventLog(storage, () => 1_800_000_000_000);
	t.deepEqual(next.all, expected);
	t.deepEqual(readEvents(storage), expected);
	for (const message of ['three', 'four']) next.note('copy-readable', null, message);
	expected.push(...['three', 'four'].map((message) => ({ time, kind: 'copy-readable', fault: null, message })));
	t.deepEqual(readEvents(storage), expected);
});

test('the last 1000 are kept, and the file does not grow for ever', (t) => {
	const { storage, log } = newLog(t);
	for (let i = 0; i < 4500; i++) log.note('test', null, String(i));
	const last = Array.from({ length: 1000 }, (_, i) => String(3500 + i));
	t.deepEqual(
		log.all.map(({ message }) => message),
		last,
	);
	t.deepEqual(
		new EventLog(storage, () => 0).all.map(({ message }) => message),
		last,
	);
	t.true(readFileSync(join(storage, 'events.jsonl'), 'utf8').split('\n').length <= 2001);
});

test('a follower gets what was there and each new one, in order, until the log is closed or it goes itself', async (t) => {
	const { log } = newLog(t);
	log.note('test', null, 'before');
	const followed = async (signal: AbortSignal) => {
		const messages: string[] = [];
		for await (const event of log.follow(signal)) messages.push((event as VolumeEvent).message);
		return messages;
	};
	const leaving = new AbortController();
	const [toTheEnd, left] = [followed(new AbortController().signal), followed(leaving.signal)];
	log.note('test', null, 'after');
	leaving.abort();
	log.note('test', null, 'last');
	log.close();
	t.deepEqual(await toTheEnd, ['before', 'after', 'last']);
	await t.throwsAsync(left, { name: 'AbortError' });
});
