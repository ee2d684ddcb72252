/** A copy with a journal that the kernel would refuse: it is told, and the other copies are untouched. */
import anyTest from 'ava';
import { readSuperblock } from '../../src/ext/filesystem.ts';
import { journalSuperblockLayout } from '../../src/ext/journal-layout.ts';
import { journalInVolume } from '../../src/ext/journal-place.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { writeJournal } from '../helpers/journal-writer.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, runOk } from '../helpers/run.ts';
import { noonmark, noonmarkOk, TestVolume } from '../helpers/volume.ts';

const test = canMount && programs('mke2fs', 'debugfs') ? anyTest : anyTest.skip;
const BLOCK_BYTES = 1024;
const IMAGE_BYTES = 32 << 20;
const FORMAT = { checksum: 'v3', has64bit: true, hasAsyncCommit: false } as const;
const LOG = {
	sequence: 10,
	transactions: [
		{
			...{ revokes: [], isCommitted: true, timeSec: 1000 },
			writes: [{ block: 9000, content: Buffer.alloc(BLOCK_BYTES, 1) }],
		},
	],
};

const UNKNOWN_FEATURE =
	'journal superblock: uses features that this version does not know (incompat 0x40000000, ro_compat 0x0)';

/** Gives the journal on the live device a feature of the future. */
function changeJournal({ live }: TestVolume): void {
	editImage(live, (editor) => {
		const device = {
			sizeBytes: IMAGE_BYTES,
			read: (at: number, into: Uint8Array) => into.set(editor.read(at, into.length)),
			close() {},
		};
		editor.patch(journalInVolume(device, readSuperblock(device)).byteOffsetOf(0), BLOCK_BYTES, (block) => {
			const { incompat } = journalSuperblockLayout.decode(block);
			journalSuperblockLayout.encode({ incompat: (incompat | 0x40000000) >>> 0 }, block);
		});
	});
}

test('copies whose journals are damaged or not known are listed as such, and can be seen as they lie on the disk', async (t) => {
	const mkfs = ['-t', 'ext4', '-b', String(BLOCK_BYTES), '-J', 'size=4'];
	const volume = new TestVolume(t, { sizeBytes: IMAGE_BYTES, mkfs });
	await runOk('debugfs', ['-w', '-R', 'mkdir there', volume.image]);
	const placed = await writeJournal(volume.image, FORMAT, LOG);
	const logged = placed.find(({ kind }) => kind === 'data')!.at * BLOCK_BYTES;

	await noonmarkOk(['mount', volume.image, volume.mountpoint]);
	const sound = await volume.create();
	editImage(volume.live, (editor) => editor.patch(logged, 1, (bytes) => bytes.fill(0xff)));
	await runOk('sync', [volume.live]);
	const damaged = await volume.create();

	changeJournal(volume);
	const unknown = await volume.create();

	const fault = 'journal: transaction 10: its copy of block 9000 has a wrong checksum';
	t.like(sound, { state: 'created', fault: null });
	t.like(damaged, { state: 'damaged', fault });
	t.like(await volume.list(), [
		{ name: sound.name, state: 'created', fault: null },
		{ name: damaged.name, state: 'damaged', fault },
		{ name: unknown.name, state: 'unsupported', fault: UNKNOWN_FEATURE },
	]);
	const listed = (await noonmark(['list', volume.image])).stdout.toString();
	t.true(listed.includes(`${damaged.name} is damaged: ${fault}`), listed);
	t.is((await runOk('ls', [sound.path])).toString(), 'lost+found\nthere\n');
	const entered = await run('ls', [damaged.path]);
	t.true(entered.code !== 0 && entered.stdout.length === 0, entered.stderr);

	await noonmarkOk(['unmount', volume.image]);
	await noonmarkOk(['mount', volume.image, volume.mountpoint, '--no-replay']);
	t.deepEqual(
		(await volume.list()).map(({ state }) => state),
		['created', 'created', 'created'],
	);
	t.is((await runOk('ls', [damaged.path])).toString(), 'lost+found\nthere\n');
});
