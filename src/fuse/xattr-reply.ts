import { ERANGE } from './errno.ts';
import { getxattrIn, getxattrOut } from './protocol.ts';
import type { Request } from './request.ts';

const TRUSTED = Buffer.from('trusted.');
const NUL = Buffer.alloc(1);

/** Answers GETXATTR, by the protocol that LISTXATTR has too: asked with size 0, the answer is the size alone. */
export function answerXattr(request: Request, reply: Buffer, value: Buffer): number {
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
	return answerXattr(request, reply, Buffer.concat(shown.flatMap((name) => [name, NUL])));
}

/** The name that a GETXATTR asks for. */
export const requestedXattr = (request: Request) => request.name(getxattrIn.sizeBytes);
