import test from 'ava';
import { freeGmtName, gmtName, parseGmtName } from '../../src/shadow/gmt-name.ts';

const noon = Date.UTC(2026, 10, 22, 10, 20, 0);

test('a name shows the second in UTC', (t) => {
	t.is(gmtName(noon), '@GMT-2026.11.22-10.20.00');
	t.is(gmtName(noon + 999), '@GMT-2026.11.22-10.20.00');
	t.is(gmtName(noon - 1), '@GMT-2026.11.22-10.19.59');
});

test('parsing is the inverse, and takes nothing else', (t) => {
	t.is(parseGmtName('@GMT-2026.11.22-10.20.00'), noon);
	for (const name of [
		'',
		'@GMT-2026.11.22-10.20',
		'@GMT-2026.11.22-10.20.00.tmp',
		'@GMT-2026.13.22-10.20.00',
		'@GMT-2026.02.30-10.20.00',
		'x@GMT-2026.11.22-10.20.00',
	]) {
		t.is(parseGmtName(name), undefined, name);
	}
});

test('a second copy within a second takes the next free one', (t) => {
	const taken = new Set<string>();
	const names = [0, 200, 900, 1500].map((afterMs) => {
		const name = freeGmtName(noon + afterMs, taken);
		taken.add(name);
		return name.slice(-8);
	});
	t.deepEqual(names, ['10.20.00', '10.20.01', '10.20.02', '10.20.03']);
});
