import test from 'ava';
import { Walk } from '../../src/fuse/walk.ts';
import { Random } from '../helpers/random.ts';

/** The numbers of subdirectories, by the number of the directory. */
type Tree = ReadonlyMap<number, readonly number[]>;

function randomTree(random: Random, directories: number): Tree {
	const tree = new Map<number, number[]>([[1, []]]);
	for (let number = 2; number <= directories; number++) {
		tree.get(1 + random.integer(number - 1))!.push(number);
		tree.set(number, []);
	}
	return tree;
}

/** Lists a directory, in parts of a few names. */
function list(walk: Walk, random: Random, tree: Tree, number: number, copy = 1): void {
	const children = tree.get(number)!;
	let done = 0;
	do {
		const count = 1 + random.integer(children.length + 1);
		walk.listed(copy, number, done === 0, children.slice(done, done + count));
		done += count;
	} while (done < children.length);
}

/** As find, tar, du and cp go through it. */
function preorder(tree: Tree, number = 1): number[] {
	return [number, ...tree.get(number)!.flatMap((child) => preorder(tree, child))];
}

const newWalk = () => new Walk(new Uint32Array(Walk.SHARE_WORDS));

test('who enters directories as they were listed is known a step ahead', (t) => {
	for (let seed = 1; seed <= 50; seed++) {
		const random = new Random(seed);
		const tree = randomTree(random, 2 + random.integer(300));
		const walk = newWalk();
		const order = preorder(tree);
		order.forEach((number, i) => {
			// One directory is no walk yet.
			if (i > 1) t.is(walk.next, number, `seed ${seed}`);
			list(walk, random, tree, number);
		});
		t.is(walk.next, 0);
	}
});

test('who leaves out a directory, or all below it, is still known', (t) => {
	const tree: Tree = new Map([
		[1, [2, 3, 4, 5]],
		[2, [20, 21]],
		[3, []],
		[4, []],
		[5, []],
	]);
	const [walk, random] = [newWalk(), new Random(1)];
	for (const number of [1, 2]) list(walk, random, tree, number);
	t.is(walk.next, 20);
	list(walk, random, tree, 4);
	t.is(walk.next, 5);
});

test('a directory of elsewhere, and one of another copy, are no walk', (t) => {
	const tree: Tree = new Map([
		[1, [2, 3]],
		[2, []],
		[3, []],
		[9, [2, 3]],
	]);
	const [walk, random] = [newWalk(), new Random(1)];
	list(walk, random, tree, 1);
	t.is(walk.next, 0);
	list(walk, random, tree, 2);
	t.is(walk.next, 3);
	list(walk, random, tree, 9);
	t.is(walk.next, 0);
	list(walk, random, tree, 2, 7);
	t.is(walk.next, 0, 'in the other copy nothing was listed');
});

test('of more directories than there is room for those that come first are known', (t) => {
	const children = Array.from({ length: 10_000 }, (_, i) => 2 + i);
	const walk = newWalk();
	for (let at = 0; at < children.length; at += 100) walk.listed(1, 1, at === 0, children.slice(at, at + 100));
	walk.listed(1, 2, true, [20_000, 20_001]);
	t.is(walk.next, 20_000);
	walk.listed(1, 20_000, true, []);
	walk.listed(1, 20_001, true, []);
	t.is(walk.next, 3);
	for (let number = 3; number < 4000; number++) walk.listed(1, number, true, []);
	t.is(walk.next, 4000);
});
