import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { programs } from '../helpers/requires.ts';
import { runOk } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const it = programs('mke2fs') ? test : test.skip;
const PROBE = `
	const { FileDevice } = await import(process.argv[1]);
	const { probeVolume } = await import(process.argv[2]);
	probeVolume(FileDevice.open(process.argv[3], 'read'), process.argv[3]);
`;

it('a volume that another host may be writing: a line in the log', async (t) => {
	const image = join(temporaryDirectory(t), 'image');
	writeFileSync(image, '');
	truncateSync(image, 16 << 20);
	execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', 'mmp,^metadata_csum', '-b', '1024', image], {
		timeout: 30_000,
	});
	const build = join(import.meta.dirname, '..', '..', 'src');
	const probe = async () => {
		const args = [join(build, 'block/file-device.js'), join(build, 'service/probe-volume.js'), image];
		const script = `DEBUG=noonmark:service node --input-type=module -e "$0" "$@" 2>&1`;
		return (await runOk('bash', ['-c', script, PROBE, ...args])).toString();
	};
	t.is(await probe(), '');
	const bytes = readFileSync(image);
	// mmp_seq of a host that is at work; mmp_nodename.
	const at = bytes.readUInt32LE(1024 + 0x168) * 1024;
	bytes.writeUInt32LE(7, at + 4);
	bytes.write('elsewhere\0', at + 16);
	writeFileSync(image, bytes);
	t.regex(await probe(), /in-use, by host elsewhere: another host may be writing it/);
});
