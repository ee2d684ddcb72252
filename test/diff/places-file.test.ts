import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { readStoredCopies } from '../../src/diff/stored-copies.ts';
import { Rig } from './rig.ts';

const SIZE_BYTES = 700_000;

const flip = (at: number) => (path: string) => {
	const bytes = readFileSync(path);
	bytes[at]! ^= 1;
	writeFileSync(path, bytes);
};

const DAMAGE: Record<string, (path: string) => void> = {
	missing: (path) => rmSync(path),
	empty: (path) => truncateSync(path, 0),
	'one place short': (path) => truncateSync(path, readFileSync(path).length - 8),
	'of another file': (path) => writeFileSync(path, Buffer.alloc(500, 'x')),
	'of another epoch': flip(0x0c),
	'of a segment of another length': flip(0x11),
	'with a changed place': flip(0x23),
};

for (const [what, harm] of Object.entries(DAMAGE)) {
	test(`a places file ${what}: the segment is read, and the file is whole again`, (t) => {
		const rig = new Rig(t, { seed: 1, sizeBytes: SIZE_BYTES });
		for (let i = 0; i < 3; i++) {
			rig.create();
			rig.write(i * 60_000, rig.random.bytes(100_000));
			rig.zero(i * 50_000 + 100_000, 70_000);
			rig.liveVolume.flush();
		}
		rig.restart();
		const path = `${rig.image}.noonmark/epoch-00000002.places`;
		const whole = readFileSync(path);
		rig.close();
		harm(path);
		const asItIs = { directory: `${rig.image}.noonmark`, volumeSizeBytes: SIZE_BYTES, volumeStamp: 'today' };
		t.deepEqual(
			readStoredCopies({ ...asItIs, volumeState: '' })!.copies.map(({ epoch, fault }) => [epoch, fault]),
			[1, 2, 3].map((epoch) => [epoch, null]),
		);
		t.is(existsSync(path), what !== 'missing', 'who only reads mends nothing');
		rig.open();
		t.deepEqual(rig.differences(), []);
		t.deepEqual(rig.events, []);
		t.deepEqual(readFileSync(path), whole);
	});
}
