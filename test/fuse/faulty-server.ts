import { NoonmarkError } from '../../src/errors.ts';
import { encodeAttrOut, S_IFREG } from '../../src/fuse/attributes.ts';
import { FUSE_GETATTR, FUSE_GETXATTR, FUSE_LISTXATTR, FUSE_READ, getxattrIn } from '../../src/fuse/protocol.ts';
import type { RequestHandler } from '../../src/fuse/session.ts';

const SLOW = Buffer.from('user.slow');

/** A file of one byte whose handler misbehaves in a different way for each operation. */
export function createHandler(): RequestHandler {
	const attributes = {
		mode: S_IFREG | 0o644,
		linkCount: 1,
		uid: 0,
		gid: 0,
		sizeBytes: 1,
		blocks512: 1,
		atimeSec: -1,
		atimeNsec: 5,
		mtimeSec: -(2 ** 31),
		mtimeNsec: 999_999_999,
		ctimeSec: 2 ** 34 - 1,
		ctimeNsec: 0,
		deviceMajor: 0,
		deviceMinor: 0,
	};
	return {
		features: { flags: 0, flags2: 0 },
		handle(request, reply) {
			switch (request.opcode) {
				case FUSE_GETATTR:
					return encodeAttrOut(reply, attributes, { inoHigh: 0x01020304, inoLow: 0xfffffffe, blockSizeBytes: 512 }, 0);
				case FUSE_READ:
					throw new TypeError('a bug in a handler');
				case FUSE_GETXATTR:
					if (Buffer.from(request.name(getxattrIn.sizeBytes)).equals(SLOW))
						Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000);
					throw new NoonmarkError('unsupported', 'some-feature', 'a feature that is not understood');
				case FUSE_LISTXATTR:
					return 2 ** 20 - 1; // More than was asked for: the kernel refuses it.
				default:
					return -38;
			}
		},
	};
}
