import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { describeFeatures, KNOWN_FEATURES } from '../../src/ext/features.ts';

const README = join(import.meta.dirname, '..', '..', '..', 'README.md');

test("the README's table names every feature, and how it is treated", (t) => {
	const table = /^\| feature, as .*?\n\n/ms.exec(readFileSync(README, 'utf8'))![0];
	const told = new Map<string, string>();
	for (const row of table.split('\n').slice(2)) {
		const [, features = '', treatment = ''] = row.split('|').map((cell) => cell.trim());
		for (const [, name] of features.matchAll(/`([^`]+)`/g)) told.set(name!, treatment);
	}
	const words = { compat: 0xffffffff, incompat: 0xffffffff, roCompat: 0xffffffff };
	const treated = new Map(describeFeatures(words).map(({ name, treatment }) => [name, treatment]));
	const known = Object.values(KNOWN_FEATURES).flatMap((word) => Object.keys(word));
	t.true(known.length > 40);
	t.deepEqual(
		known.map((name) => `${name}: ${told.get(name)}`),
		known.map((name) => `${name}: ${treated.get(name)}`),
	);
	t.deepEqual(
		['FEATURE_C31', 'FEATURE_I31', 'FEATURE_R31'].map((name) => treated.get(name)),
		['ignored', 'refused', 'ignored'],
	);
});
