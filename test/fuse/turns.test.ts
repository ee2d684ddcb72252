import test from 'ava';
import { createTurnsShare, releaseTurn, Turns } from '../../src/fuse/turns.ts';

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

/** The client of a session asks one thing at a time. */
function takeOne(session: Turns): void {
	session.spins();
	session.taken();
}

test('who is woken for nothing again and again stands back, until it is called', (t) => {
	const { busy, other, called } = two();
	for (let i = 0; i < 3; i++) {
		t.false(other.standsBack());
		takeOne(busy);
		wokenForNothing(other);
	}
	t.true(other.standsBack());
	takeOne(busy);
	t.deepEqual(called, [], 'one request at a time needs one session');
	busy.taken();
	t.deepEqual(called, [1], 'the next request was there already');
	other.woken(true);
	t.false(other.standsBack());
	busy.taken();
	t.deepEqual(called, [1], 'nobody stands back any more');
});

test('who stands back goes on so while others take requests, and comes back when nobody does', (t) => {
	const { busy, other } = two();
	for (let i = 0; i < 3; i++) wokenForNothing(other);
	t.true(other.standsBack());
	takeOne(busy);
	other.woken(false);
	t.true(other.standsBack());
	other.woken(false);
	t.false(other.standsBack());
});

test('a session that takes what it is woken for does not stand back; nor does one that is alone', (t) => {
	const { other } = two();
	for (let i = 0; i < 10; i++) {
		wokenForNothing(other);
		other.taken();
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
	busy.taken();
	// The other has waited past its time by now, whatever that is; a new wait begins after a request.
	other.taken();
	t.true(other.spins());
	t.false(busy.spins());
});

test('a session that has ended neither spins nor stands back for the others', (t) => {
	const { busy, other, called, share } = two();
	t.true(other.spins());
	releaseTurn(share, 2);
	t.true(busy.spins());
	for (let i = 0; i < 3; i++) wokenForNothing(other);
	t.true(other.standsBack());
	releaseTurn(share, 2);
	busy.taken();
	busy.taken();
	t.deepEqual(called, []);
});
