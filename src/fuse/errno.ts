import { constants } from 'node:os';
import { type ErrorFamily, NoonmarkError } from '../errors.ts';

export const {
	EAGAIN,
	EINTR,
	EINVAL,
	EIO,
	ENAMETOOLONG,
	ENODATA,
	ENODEV,
	ENOENT,
	ENOSPC,
	ENOSYS,
	ENOTDIR,
	ENXIO,
	EOPNOTSUPP,
	EPERM,
	ERANGE,
	EROFS,
	ESTALE,
} = constants.errno;

/** Not among Node's constants; the same number on every architecture of Linux but MIPS, PA-RISC and SPARC. */
const ENOKEY = 126;

/** Codes that say more than their family. */
const BY_CODE: Readonly<Record<string, number>> = {
	'copy-gone': ESTALE,
	encrypted: ENOKEY,
	'read-only': EROFS,
	'storage-full': ENOSPC,
};

const BY_FAMILY: Readonly<Record<ErrorFamily, number>> = {
	corrupt: EIO,
	io: EIO,
	missing: ENOENT,
	refused: EPERM,
	unsupported: EOPNOTSUPP,
};

/** What a reader of the mount sees of an error. Whatever is no NoonmarkError is a bug or a failing system: EIO. */
export function errnoOf(thrown: unknown): number {
	if (!(thrown instanceof NoonmarkError)) return EIO;
	return BY_CODE[thrown.code] ?? BY_FAMILY[thrown.family];
}
