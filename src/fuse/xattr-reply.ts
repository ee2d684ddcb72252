import { EINVAL, ENODATA, EOPNOTSUPP, ERANGE } from './errno.ts';
import { getxattrIn, getxattrOut } from './protocol.ts';
import type { Request } from './request.ts';

const TRUSTED = Buffer.from('trusted.');
const KINDS = ['security.', 'user.', 'trusted.', 'gnu.'].map((kind) => Buffer.from(kind));
const ACLS = ['system.posix_acl_access', 'system.posix_acl_default'].map((name) => Buffer.from(name));
const NUL = Buffer.alloc(1);

/** Answers GETXATTR; without a value there is no such attribute. */
export function answerXattr(request: Request, reply: Buffer, value: Buffer | undefined): number {
	return value ? answerValue(request, reply, value) : -errnoOfMissing(requestedXattr(request));
}

/**
 * Programs tell by this which kinds of attributes a file system can have. As the kernel's ext4. `ls -l` asks for two that
 * are missing of each file, so no strings are made of them.
 */
function errnoOfMissing(name: Uint8Array): number {
	if (ACLS.some((acl) => acl.length === name.length && startsWith(name, acl))) return ENODATA;
	const kind = KINDS.find((known) => startsWith(name, known));
	if (kind === undefined) return EOPNOTSUPP;
	return name.length === kind.length ? EINVAL : ENODATA;
}

function startsWith(name: Uint8Array, prefix: Uint8Array): boolean {
	for (let i = 0; i < prefix.length; i++) if (name[i] !== prefix[i]) return false;
	return true;
}

/** By the protocol that LISTXATTR has too: asked with size 0, the answer is the size alone. */
function answerValue(request: Request, reply: Buffer, value: Buffer): number {
	const roomBytes = request.get(getxattrIn.fields.sizeBytes);
	if (roomBytes === 0) {
		reply.fill(0, 0, getxattrOut.sizeBytes);
		getxattrOut.encode({ sizeBytes: value.length }, reply);
		return getxattrOut.sizeBytes;
	}
	return value.length > roomBytes ? -ERANGE : value.copy(reply);
}

/** Answers LISTXATTR. As the kernel's ext4, "trusted." names are shown to root alone. */
export function answerXattrNames(request: Request, reply: Buffer, names: readonly Buffer[]): number {
	const { uid } = request;
	const shown = names.filter((name) => uid === 0 || !name.subarray(0, TRUSTED.length).equals(TRUSTED));
	return answerValue(request, reply, Buffer.concat(shown.flatMap((name) => [name, NUL])));
}

/** The name that a GETXATTR asks for. */
export const requestedXattr = (request: Request) => request.name(getxattrIn.sizeBytes);
