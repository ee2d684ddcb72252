import { createHash } from 'node:crypto';

/** What the kernel shows of a name whose key it does not have (fs/crypto/fname.c, struct fscrypt_nokey_name). */
const SHOWN_BYTES = 149;
/** The kernel refuses shorter names: none can come out of the ciphers. */
export const MIN_ENCRYPTED_NAME_BYTES = 16; // FSCRYPT_FNAME_MIN_MSG_LEN

/** The directory's hash of the name, then the name, or its start and a digest of the rest; in base64url. */
export function encodeNoKeyName(name: Uint8Array, hash: { major: number; minor: number }): Buffer {
	const hashes = Buffer.alloc(8);
	hashes.writeUInt32LE(hash.major, 0);
	hashes.writeUInt32LE(hash.minor, 4);
	const rest = name.subarray(SHOWN_BYTES);
	const digest = rest.length === 0 ? Buffer.alloc(0) : createHash('sha256').update(rest).digest();
	return Buffer.from(Buffer.concat([hashes, name.subarray(0, SHOWN_BYTES), digest]).toString('base64url'));
}
