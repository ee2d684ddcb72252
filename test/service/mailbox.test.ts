import test from 'ava';
import { Mailbox, OrderTaker } from '../../src/service/mailbox.ts';

const late = (isTaken: boolean) => new Error(isTaken ? 'taken' : 'not taken');

function mailbox() {
	const box = new Mailbox<string, never>(() => {});
	return { box, taker: new OrderTaker<string>(box.end) };
}

test('what is asked of a thread that takes nothing ends in time, and is not carried out later', async (t) => {
	const { box, taker } = mailbox();
	const done: string[] = [];
	const carryOut = (order: string) => {
		done.push(order);
		return `${order} done`;
	};
	const step = box.send('step');
	await t.throwsAsync(box.ask('question', 20, late), { message: 'not taken' });
	const second = box.ask('second', 60_000, late);
	taker.takeAll(carryOut);
	t.deepEqual(await Promise.all([step, second]), ['step done', 'second done']);
	t.deepEqual(done, ['step', 'second'], 'a step waits as long as it has to');
	box.close('the end');
});

test('of what a thread has taken and not answered it is said that it was taken', async (t) => {
	const { box, taker } = mailbox();
	const asked = box.ask('question', 20, late);
	taker.takeAll(() => {
		for (const endMs = performance.now() + 40; performance.now() < endMs; ); // the thread is this one
	});
	await t.throwsAsync(asked, { message: 'taken' });
	box.close('the end');
});
