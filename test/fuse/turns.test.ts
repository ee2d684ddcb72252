import test from 'ava';
import { createTurnsShare, releaseTurn, Turns } from '../../src/fuse/turns.ts';

const CLIENT = 1000;

/** Two sessions of one mount, and who was called. */
function two() {
	const share = createTurnsShare();
	const called: number[] = [];
	const session = (sessionNumber: number) =>
		new Turns({ share, sessionNumber, callOthers: () => called.push(sessionNumber) });
	return { busy: session(1), other: session(2), called, share };
}

/** Spins out, and sleeps until a request comes that another session takes. */
function wokenForNothing(session: Turns): void {
	while (session.spins());
	session.standsBack();
	session.woken(false);
}

/** Takes a request and answers it. */
function take(session: Turns, client = CLIENT, isAnotherThere = false): void {
	session.taken(client, () => isAnotherThere);
	session.answered();
}

/** Takes requests that come one at a time. */
function takeOneByOne(session: Turns, count: number): void {
	for (let i = 0; i < count; i++) {
		if (i % 2 === 0) session.spins(); // else the next is there when the session comes back
		take(session);
	}
}

const takeOneOfTwo = (session: Turns) => take(session, CLIENT, true);

test('from the first request on, the one that took the last goes on, and the others do not even spin', (t) => {
	const { busy, other } = two();
	t.false(busy.standsBack());
	t.false(other.standsBack());
	take(busy);
	t.true(other.isOthersTurn);
	t.false(other.spins());
	t.true(other.standsBack());
	t.false(busy.isOthersTurn);
	t.true(busy.spins());
	t.false(busy.standsBack());
});

test('a request that is there at once calls the others where it is that of another client', (t) => {
	const { busy, other, called } = two();
	take(busy);
	t.true(other.standsBack());
	take(busy);
	busy.spins();
	take(busy, CLIENT + 1);
	t.deepEqual(called, [], 'it came when the first client had its answer');
	take(busy);
	t.deepEqual(called, [1]);
	other.woken(true);
	t.false(other.isOthersTurn);
	t.false(other.standsBack());
});

test('requests that are answered at the same time keep all from standing back', (t) => {
	const { busy, other } = two();
	takeOneOfTwo(busy);
	for (let i = 0; i < 20; i++) {
		busy.spins();
		busy.taken(CLIENT, () => false);
		other.spins();
		take(other, CLIENT + 1);
		busy.answered();
		t.false(busy.isOthersTurn);
	}
	takeOneByOne(busy, 8);
	t.true(other.isOthersTurn);
});

test('while requests come one at a time, all stand back but the one that took the last', (t) => {
	const { busy, other, called } = two();
	takeOneOfTwo(busy);
	takeOneByOne(busy, 7);
	t.false(other.standsBack());
	takeOneByOne(busy, 1);
	t.true(other.standsBack());
	t.false(busy.standsBack());
	takeOneByOne(busy, 10);
	t.deepEqual(called, []);
	takeOneOfTwo(busy);
	t.deepEqual(called, [1]);
	other.woken(true);
	t.false(other.standsBack());
	takeOneOfTwo(busy);
	t.deepEqual(called, [1], 'nobody stands back any more');
	takeOneByOne(busy, 8);
	t.true(other.standsBack());
});

test('who stands back goes on so while others take requests, and comes back in reserve when nobody does', (t) => {
	const { busy, other } = two();
	takeOneByOne(busy, 8);
	t.true(other.standsBack());
	takeOneByOne(busy, 8);
	t.is(other.woken(false), 0);
	t.true(other.standsBack());
	t.is(other.woken(false), 0);
	t.false(other.standsBack(), 'it waits for the next request');
	t.is(other.woken(false), 1, 'but leaves it to the other for a moment');
	t.true(other.standsBack());
	other.woken(false);
	t.is(other.woken(true), 0, 'not if it is called');
});

test('who takes the requests does not stand back; nor does one that is alone', (t) => {
	const { other } = two();
	for (let i = 0; i < 10; i++) {
		wokenForNothing(other);
		take(other);
	}
	t.false(other.standsBack());
	const alone = new Turns();
	for (let i = 0; i < 10; i++) wokenForNothing(alone);
	t.false(alone.standsBack());
});

test('one spins at a time', (t) => {
	const { busy, other } = two();
	t.true(busy.spins());
	t.false(other.spins());
	take(busy);
	// The other has waited past its time by now, whatever that is; a new wait begins after a request.
	take(other);
	t.true(other.spins());
	t.false(busy.spins());
});

test('a session that has ended neither spins nor stands back for the others', (t) => {
	const { busy, other, called, share } = two();
	t.true(other.spins());
	releaseTurn(share, 2);
	t.true(busy.spins());
	takeOneByOne(busy, 8);
	t.true(other.standsBack());
	releaseTurn(share, 2);
	takeOneOfTwo(busy);
	t.deepEqual(called, []);
	takeOneByOne(busy, 8);
	busy.taken(CLIENT, () => false);
	releaseTurn(share, 1);
	take(other);
	t.true(busy.isOthersTurn, 'it was not answering any more');
});
