/** What `inspect` tells of a volume, beside what debugfs and dumpe2fs tell. */
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { buildImage } from '../../images/matrix.ts';
import { makeImage } from '../../images/populate.ts';
import { FileDevice } from '../../src/block/file-device.ts';
import type { PlainError } from '../../src/errors.ts';
import { type FileSystemReport, type InspectSelection, inspectFileSystem } from '../../src/ext/inspect.ts';
import { MMP_SEQUENCE_FSCK } from '../../src/ext/layout.ts';
import { editImage } from '../helpers/ext-edit.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const it = canMount && programs('mke2fs', 'debugfs', 'dumpe2fs', 'python3') ? test : test.skip;

function inspectImage(image: string, selection: InspectSelection = {}): FileSystemReport {
	const device = FileDevice.open(image, 'read');
	try {
		return inspectFileSystem(device, selection);
	} finally {
		device.close();
	}
}

const codes = (errors: readonly PlainError[]) => errors.map(({ code }) => code);

async function builtImage(t: ExecutionContext, name: string): Promise<string> {
	return (await buildImage(name, join(temporaryDirectory(t), 'image'))).path;
}

/** One debugfs process answers all requests; the answers stand between the echoes of the requests. */
async function askDebugfs(image: string, requests: readonly string[]): Promise<string[]> {
	const file = `${image}.requests`;
	writeFileSync(file, requests.map((request) => `${request}\n`).join(''));
	const output = (await runOk('debugfs', ['-f', file, image])).toString('latin1');
	return output.split(/^debugfs: .*\n/m).slice(1);
}

const PATHS = [
	...[
		'/',
		'/sizes/0',
		'/sizes/100',
		'/sizes/70000',
		'/links/first',
		'/links/symlink-59',
		'/links/symlink-1000',
		'/special/null',
	],
	...['/sparse/fragmented', '/sparse/unwritten', '/sparse/beyond-size', '/attributes/in-block', '/attributes/acl'],
	...['/directories/many', '/special/setgid', '/attributes/in-inode', '/times/latest'],
];

const asDebugfs = test.macro(async (t, name: string) => {
	const image = await builtImage(t, name);
	const header = (await runOk('dumpe2fs', ['-h', image])).toString();
	const { superblock, features } = inspectImage(image);
	const field = (label: string) => new RegExp(`^${label}:\\s+(.*)$`, 'm').exec(header)?.[1] ?? '';
	t.is(superblock.uuid, field('Filesystem UUID'));
	t.is(String(superblock.blockCount), field('Block count'));
	t.is(String(superblock.inodeCount), field('Inode count'));
	t.is(String(superblock.inodeSizeBytes), field('Inode size'));
	t.deepEqual(features.map((feature) => feature.name).sort(), field('Filesystem features').split(' ').sort());

	const stats = await askDebugfs(
		image,
		PATHS.map((path) => `stat ${path}`),
	);
	const blocks = await askDebugfs(
		image,
		PATHS.map((path) => `blocks ${path}`),
	);
	PATHS.forEach((path, i) => {
		const { inode, errors } = inspectImage(image, { path });
		t.deepEqual(errors, []);
		const said = (label: string) => new RegExp(`\\b${label}:\\s+(\\S+)`).exec(stats[i]!)?.[1] ?? '';
		t.is(String(inode!.number), said('Inode'));
		t.is(String(inode!.uid), said('User'));
		t.is(String(inode!.gid), said('Group'));
		t.is(String(inode!.linkCount), said('Links'));
		t.is(String(inode!.blocks512), said('Blockcount'));
		t.is(String(inode!.generation), said('Generation'));
		t.is(String(inode!.xattrBlock), said('File ACL'));
		if (inode!.projectId !== null) t.is(String(inode!.projectId), said('Project'));
		const content = inode!.content;
		// Where the map's place holds something else, debugfs takes that for block numbers.
		const isMap = content !== null && 'extents' in content;
		const used = !isMap
			? []
			: [
					...content.nodes.map(({ block }) => block),
					...content.extents.flatMap(({ block, count }) => Array.from({ length: count }, (_, k) => block + k)),
				];
		const expected = (isMap ? blocks[i]! : '').trim().split(/\s+/).filter(Boolean).map(Number);
		t.deepEqual(
			used.sort((a, b) => a - b),
			expected.sort((a, b) => a - b),
			path,
		);
		const listed = [...stats[i]!.matchAll(/^ {2}(\S+) \((\d+)\)/gm)].map(([, xattr, size]) => `${xattr} ${size}`);
		t.deepEqual(inode!.xattrs.map((xattr) => `${xattr.name} ${xattr.sizeBytes}`).sort(), listed.sort(), path);
	});
});
it('an ext4', asDebugfs, 'ext4, 1 KiB');
it('an ext4 with project ids', asDebugfs, 'ext4, quota and project');
it('an ext2', asDebugfs, 'ext2, 1 KiB');

it('an inode by its number: the journal, and one that the volume does not have', async (t) => {
	const image = await builtImage(t, 'ext4');
	t.is(inspectImage(image, { inodeNumber: 8 }).inode?.mode, '100600');
	const none = inspectImage(image, { inodeNumber: 4_000_000_000 });
	t.deepEqual([none.inode, codes(none.errors)], [null, ['no-such-inode']]);
	t.deepEqual(codes(inspectImage(image, { path: '/links/nothing' }).errors), ['no-such-file']);
});

it('the project of an inode is not made up from what lies there, where the volume knows none or its fields end before it', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, ['-t', 'ext4', '-O', '^metadata_csum']);
	const input = ['mkdir dir', 'sif dir projid 77'].map((request) => `${request}\n`).join('');
	await runOk('debugfs', ['-w', '-f', '-', image], { input });
	const projectId = () => inspectImage(image, { path: '/dir' }).inode?.projectId;
	t.is(projectId(), null);
	await runOk('tune2fs', ['-O', 'project', image]);
	t.is(projectId(), 77);
	for (const end of [28, 0]) {
		await runOk('debugfs', ['-w', '-R', `sif dir extra_isize ${end}`, image]);
		t.is(projectId(), null);
	}
});

it('an inode that was deleted is told as it is', async (t) => {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 8, ['-t', 'ext4']);
	await runOk('debugfs', ['-w', '-f', '-', image], { input: 'mkdir dir\nsif dir links_count 0\n' });
	const { inode, errors } = inspectImage(image, { inodeNumber: 12 });
	t.like(inode, { number: 12, type: 'directory', linkCount: 0 });
	t.deepEqual(errors, []);
});

it('a damaged volume: the rest is told', async (t) => {
	const image = await builtImage(t, 'ext4, 1 KiB');
	const { inode } = inspectImage(image, { path: '/attributes/in-block' });
	editImage(image, (editor) => editor.write(inode!.xattrBlock * 1024, Buffer.alloc(4)));
	const harmed = inspectImage(image, { path: '/attributes/in-block' });
	t.deepEqual(codes(harmed.errors), ['xattr-header']);
	t.like(harmed.inode, { number: inode!.number, xattrs: [{ name: 'user.small' }] });

	editImage(image, (editor) => editor.setSuperblock({ incompat: 0x80000000 }));
	const refused = inspectImage(image, { path: '/' });
	t.deepEqual(codes(refused.errors), ['feature-feature_i31']);
	t.true(refused.features.some(({ name, treatment }) => name === 'FEATURE_I31' && treatment === 'refused'));
	t.is(refused.superblock.blockSizeBytes, 1024);
});

it('multi-mount protection: clean, damaged, being checked, in use', async (t) => {
	const image = await builtImage(t, 'ext4, mmp');
	t.like(inspectImage(image).multiMount, { state: 'clean' });
	const mmpBlock = readFileSync(image).readUInt32LE(1024 + 0x168);
	const blockSizeBytes = inspectImage(image).superblock.blockSizeBytes;
	editImage(image, (editor) => editor.patch(mmpBlock * blockSizeBytes, 8, (bytes) => bytes.writeUInt32LE(5, 4)));
	t.like(inspectImage(image).multiMount, { state: 'damaged' });
	editImage(image, (editor) => editor.setSuperblock({ mmpBlockHigh: 1 }));
	t.deepEqual(codes(inspectImage(image).errors), ['block-out-of-range']);
	editImage(image, (editor) => editor.setSuperblock({ mmpBlockHigh: 0 }));
	await runOk('tune2fs', ['-f', '-E', 'clear_mmp', image]);
	const unsummed = await makeImage(join(temporaryDirectory(t), 'image'), 8, ['-t', 'ext4', '-O', 'mmp,^metadata_csum']);
	editImage(unsummed, (editor) => {
		const { mmpBlockLow, logBlockSize } = editor.superblock();
		editor.patch(mmpBlockLow * (1024 << logBlockSize), 8, (bytes) => bytes.writeUInt32LE(MMP_SEQUENCE_FSCK, 4));
	});
	t.like(inspectImage(unsummed).multiMount, { state: 'checked' });
	const copy = `${image}.copy`;
	await withKernelMount(image, 'noatime', async () => void (await runOk('cp', [image, copy])));
	t.like(inspectImage(copy).multiMount, { state: 'in-use', host: hostname() });
});

it('a journal to be replayed: its state, and an inode with and without it', async (t) => {
	const directory = temporaryDirectory(t);
	const image = await makeImage(join(directory, 'image'), 16, ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum']);
	const [file, block] = [join(directory, 'file'), join(directory, 'block')];
	writeFileSync(file, 'content');
	await runOk('debugfs', ['-w', '-R', `write ${file} file`, image]);
	const [table] = (await askDebugfs(image, ['imap <12>'])).map((text) =>
		Number(/located at block (\d+)/.exec(text)![1]),
	);
	// The log has a copy of that block in which the file is one byte longer.
	const changed = readFileSync(image).subarray(table! * 1024, (table! + 1) * 1024);
	changed.writeUInt32LE(8, ((12 - 1) % 4) * 256 + 4);
	writeFileSync(block, changed);
	await runOk('debugfs', ['-w', '-f', '-', image], { input: `jo\njw -b ${table} ${block}\njc\n` });

	const replayed = inspectImage(image, { path: '/file' });
	t.like(replayed.journal, { kind: 'needs-replay', transactionCount: 1, blockCount: 1, fastCommitCount: 0 });
	t.deepEqual([replayed.inode?.sizeBytes, replayed.errors], [8, []]);
	t.is(inspectImage(image, { path: '/file', replayJournal: false }).inode?.sizeBytes, 7);
	const journal = inspectImage(image, { inodeNumber: 8 }).inode?.content;
	if (journal?.kind !== 'extents') return t.fail('the journal is in extents');
	editImage(image, (editor) => editor.write(journal.extents[0]!.block * 1024, Buffer.alloc(4)));
	const harmed = inspectImage(image, { path: '/file' });
	t.like(harmed.journal, { kind: 'damaged' });
	t.deepEqual([harmed.inode?.sizeBytes, codes(harmed.errors)], [7, ['journal-superblock']]);
});
