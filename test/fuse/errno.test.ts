import { constants } from 'node:os';
import test from 'ava';
import { corrupt, ioError, missing, refused, unsupported } from '../../src/errors.ts';
import { errnoOf } from '../../src/fuse/errno.ts';

const { EIO, ENOENT, ENOSPC, EOPNOTSUPP, EPERM, EROFS, ESTALE } = constants.errno;
const ENOKEY = 126;

const CASES: readonly [unknown, number][] = [
	[corrupt('inode-checksum', ''), EIO],
	[ioError('read-failed', ''), EIO],
	[missing('no-such-image', ''), ENOENT],
	[refused('too-many-copies', ''), EPERM],
	[unsupported('feature-casefold', ''), EOPNOTSUPP],
	[unsupported('encrypted', ''), ENOKEY],
	[refused('copy-gone', ''), ESTALE],
	[refused('read-only', ''), EROFS],
	[ioError('storage-full', ''), ENOSPC],
	[new RangeError('a bug'), EIO],
	['thrown by no one who knows better', EIO],
	[undefined, EIO],
];

test('what a reader sees of each error', (t) => {
	for (const [thrown, errno] of CASES) t.is(errnoOf(thrown), errno, String(thrown));
});
