import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readMark, type VolumeMark, writeMark } from '../../src/service/volume-mark.ts';
import { setXattr } from '../../src/system/libc.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const MARK: VolumeMark = { volumeId: '00112233445566778899aabbccddeeff', lostBefore: 7 };

test('what can have no mark has none; a mark that cannot be read is an error, not the lack of one', (t) => {
	t.is(readMark('/proc/version'), undefined);
	t.false(writeMark('/proc/version', MARK));
	t.throws(() => readMark(join(temporaryDirectory(t), 'nothing')), { code: 'mark-unreadable', message: /ENOENT/ });
});

test('a mark is what was written last; one that makes no sense is damaged', (t) => {
	const image = join(temporaryDirectory(t), 'image');
	writeFileSync(image, '');
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
		setXattr(image, 'user.noonmark', Buffer.from(text));
		t.throws(() => readMark(image), { code: 'mark-damaged' }, text);
	}
	writeMark(image, undefined);
	t.is(readMark(image), undefined);
});
