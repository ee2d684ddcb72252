import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readMark, type VolumeMark, writeMark } from '../../src/service/volume-mark.ts';
import { setXattr } from '../../src/system/libc.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

/** As if the file was open, and the path led to it. */
const at = (path: string) => ({ path, steadyPath: path });

const MARK: VolumeMark = { volumeId: '00112233445566778899aabbccddeeff', lostBefore: 7 };

test('what can have no mark has none; a mark that cannot be read is an error, not the lack of one', (t) => {
	t.is(readMark(at('/proc/version')), undefined);
	t.false(writeMark(at('/proc/version'), MARK));
	t.throws(() => readMark(at(join(temporaryDirectory(t), 'nothing'))), { code: 'mark-unreadable', message: /ENOENT/ });
});

test('a mark is what was written last; one that makes no sense is damaged', (t) => {
	const path = join(temporaryDirectory(t), 'image');
	const image = at(path);
	writeFileSync(path, '');
	t.is(readMark(image), undefined);
	if (!writeMark(image, MARK)) return t.log('the file system of temporary files keeps no attributes');
	t.deepEqual(readMark(image), MARK);
	writeMark(image, { ...MARK, lostBefore: 8 });
	t.deepEqual(readMark(image), { ...MARK, lostBefore: 8 });
	for (const text of [
		'',
		'{}',
		'{"volumeId":"0","lostBefore":1}',
		`{"volumeId":"${MARK.volumeId}","lostBefore":"1"}`,
	]) {
		setXattr(path, 'user.noonmark', Buffer.from(text));
		t.throws(() => readMark(image), { code: 'mark-damaged' }, text);
	}
	writeMark(image, undefined);
	t.is(readMark(image), undefined);
});
