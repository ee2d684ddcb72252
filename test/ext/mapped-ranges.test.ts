import test from 'ava';
import fc from 'fast-check';
import { MappedRanges } from '../../src/ext/mapped-ranges.ts';

const END = 60;
const range = fc.record({
	fileBlock: fc.integer({ min: 0, max: END - 1 }),
	blockCount: fc.integer({ min: 0, max: 20 }),
	block: fc.constantFrom(0, 1000, 5000),
});

test('the last that was said of a block counts; the file tells the rest', (t) => {
	const property = fc.property(fc.array(range, { maxLength: 12 }), (said) => {
		const ranges = new MappedRanges();
		const expected = new Map<number, number>();
		for (const one of said) {
			ranges.set(one);
			for (let i = 0; i < one.blockCount; i++) expected.set(one.fileBlock + i, one.block === 0 ? 0 : one.block + i);
		}
		for (let fileBlock = 0; fileBlock < END; ) {
			const { block, count } = ranges.runAt(fileBlock, () => ({ block: 90_000 + fileBlock, count: END }));
			for (let i = 0; i < count && fileBlock + i < END; i++) {
				const found = block === 0 ? 0 : block + i;
				if (found !== (expected.get(fileBlock + i) ?? 90_000 + fileBlock + i)) return false;
			}
			fileBlock += count;
		}
		return ranges.all.every(
			(one, i, all) => i === 0 || all[i - 1]!.fileBlock + all[i - 1]!.blockCount <= one.fileBlock,
		);
	});
	t.notThrows(() => fc.assert(property, { numRuns: 2000, seed: 20261125 }));
});
