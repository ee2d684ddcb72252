import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { Coordinator, type SetMember } from '../../src/shadow/coordinator.ts';
import type { Provider } from '../../src/shadow/provider.ts';
import type { ShadowCopy } from '../../src/shadow/shadow-copy.ts';

/** A volume whose every call is written down; `overrides` say what a call does instead of succeeding at once. */
function recordedVolume(
	name: string,
	calls: string[],
	overrides: Record<string, () => Promise<unknown>> = {},
): SetMember {
	const step = (call: string, result?: unknown) => async () => {
		calls.push(`${name} ${call}`);
		return overrides[call] ? await overrides[call]() : result;
	};
	const provider = {
		type: 'software',
		copies: step('copies', []),
		prepare: step('prepare'),
		commit: step('commit'),
		finish: step('finish'),
		abort: step('abort'),
		delete: step('delete', true),
	} as unknown as Provider;
	const writer = {
		name: `writer of ${name}`,
		prepare: step('writer.prepare'),
		freeze: step('freeze'),
		thaw: step('thaw'),
	};
	return {
		handle: {
			volume: name,
			provider,
			writers: async () => [writer] as never,
			hold: step('hold') as never,
			release: step('release', true) as never,
		},
		describe: (frozenWriters): ShadowCopy => ({
			id: `${name} with ${frozenWriters}`,
			setId: '',
			name: '',
			createdAtMs: 0,
			attributes: [],
		}),
	};
}

/** A promise, and what resolves it. */
function later(): [promise: Promise<void>, resolve: () => void] {
	let resolve!: () => void;
	const promise = new Promise<void>((done) => {
		resolve = done;
	});
	return [promise, resolve];
}

test('each step is taken on all volumes before the next one', async (t) => {
	const calls: string[] = [];
	const copies = await new Coordinator().create([recordedVolume('a', calls), recordedVolume('b', calls)]);
	t.deepEqual(
		copies.map(({ id }) => id),
		['a with 1', 'b with 1'],
	);
	const steps = ['prepare', 'writer.prepare', 'freeze', 'hold', 'commit', 'release', 'thaw', 'finish'];
	t.deepEqual(
		calls,
		steps.flatMap((step) => [`a ${step}`, `b ${step}`]),
	);
});

for (const failing of ['prepare', 'freeze', 'hold', 'commit', 'release', 'thaw', 'finish']) {
	test(`a failure of ${failing} on one volume aborts the set on all, and thaws whoever was told to freeze`, async (t) => {
		const calls: string[] = [];
		const fail = () => Promise.reject(new Error('no'));
		const coordinator = new Coordinator();
		await t.throwsAsync(
			coordinator.create([recordedVolume('a', calls), recordedVolume('b', calls, { [failing]: fail })]),
		);
		t.true(calls.includes('a abort') && calls.includes('b abort'));
		for (const volume of ['a', 'b']) {
			t.is(calls.includes(`${volume} thaw`), failing !== 'prepare');
			if (calls.includes(`${volume} hold`))
				t.true(calls.indexOf(`${volume} hold`) < calls.indexOf(`${volume} release`));
		}
		t.false(coordinator.frozen);
		t.is((await coordinator.create([recordedVolume('c', calls)])).length, 1, 'the next set is not in the way');
	});
}

test('a second creation is refused while one is in progress', async (t) => {
	const coordinator = new Coordinator();
	const [frozen, comeThrough] = later();
	const first = coordinator.create([recordedVolume('a', [], { freeze: () => frozen })]);
	await t.throwsAsync(coordinator.create([recordedVolume('b', [])]), { code: 'creation-in-progress' });
	comeThrough();
	await first;
});

test('what cannot be thawed fails the set, and is named', async (t) => {
	const calls: string[] = [];
	const thaw = () => Promise.reject(new Error('Invalid argument'));
	await t.throwsAsync(new Coordinator().create([recordedVolume('a', calls), recordedVolume('b', calls, { thaw })]), {
		code: 'thaw-failed',
		message: 'writer of b could not be thawed: Invalid argument',
	});
	t.true(calls.includes('a thaw'));
	t.false(calls.includes('a finish') || calls.includes('b finish'));
});

test('a hold that ended by itself fails the set', async (t) => {
	const calls: string[] = [];
	await t.throwsAsync(new Coordinator().create([recordedVolume('a', calls, { release: async () => false })]), {
		code: 'hold-expired',
	});
	t.true(calls.includes('a abort'));
});

test('a late writer fails the set: nothing is committed after its deadline', async (t) => {
	const calls: string[] = [];
	const coordinator = new Coordinator({ holdMs: 1000, freezeMs: 30, writeOutMs: 1000 });
	const [frozen, comeThrough] = later();
	await t.throwsAsync(coordinator.create([recordedVolume('a', calls, { freeze: () => frozen })]), {
		code: 'deadline-passed',
	});
	comeThrough();
	await setImmediate();
	t.deepEqual(calls, ['a prepare', 'a writer.prepare', 'a freeze', 'a thaw', 'a abort']);
});

/** What does not answer, what is told then, and what is still done of the steps that undo. */
const HANGING: Record<string, { message: RegExp; thaws: boolean }> = {
	prepare: {
		message: /^b: its disk, or that of its storage, has not answered for 0.03 s; no copy was made$/,
		thaws: false,
	},
	'writer.prepare': { message: /^writer of b could not be written out within 0.03 s; .*--no-writers$/, thaws: true },
	freeze: { message: /within the 0.03 s that writers may be frozen/, thaws: true },
	hold: { message: /within the 0.03 s that writers may be frozen/, thaws: true },
	commit: { message: /within the 0.03 s that writers may be frozen/, thaws: true },
	thaw: { message: /^writer of b could not be thawed: it has not answered for 0.03 s$/, thaws: true },
	finish: { message: /^b: its disk, .* has not answered for 0.03 s; there may be a copy$/, thaws: true },
};

for (const [hanging, { message, thaws }] of Object.entries(HANGING)) {
	test(`where ${hanging} does not answer, nor abort, the set fails in time, and nothing is committed later`, async (t) => {
		const calls: string[] = [];
		const [answer, comeThrough] = later();
		const coordinator = new Coordinator({ holdMs: 30, freezeMs: 30, writeOutMs: 30 });
		const hangs = { [hanging]: () => answer, abort: () => answer };
		await t.throwsAsync(coordinator.create([recordedVolume('a', calls), recordedVolume('b', calls, hangs)]), {
			message,
		});
		const told = calls.filter((call) => !call.endsWith('release'));
		for (const name of ['a', 'b']) {
			t.true(told.includes(`${name} abort`));
			t.is(told.includes(`${name} thaw`), thaws);
		}
		comeThrough();
		await setImmediate();
		t.deepEqual(
			calls.filter((call) => !call.endsWith('release')),
			told,
		);
		if (told.includes('b hold')) t.true(calls.includes('a release') && calls.includes('b release'));
		t.is((await coordinator.create([recordedVolume('c', calls)])).length, 1, 'the next set is not in the way');
	});
}
