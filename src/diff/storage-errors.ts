import { constants } from 'node:os';
import { ioError, messageOf, refused } from '../errors.ts';
import type { NoRoom } from './diff-area-types.ts';

/** Whether an error of the file system means that there is no room: on the disk, or in the quota of its owner. */
export function isNoSpace(error: unknown): boolean {
	return ['ENOSPC', 'EDQUOT'].includes(faultNameOf(error));
}

/** The error where the policy protects the copies, and there is no room for more. */
export function storageFull(directory: string, reason: NoRoom, maximumBytes: number | null) {
	const why = {
		'maximum-size': `has its maximum size of ${maximumBytes} bytes; raise it, or delete shadow copies`,
		'no-space': 'is on a full disk; make room there, or delete shadow copies',
		'index-full': 'holds more chunks than its index can; delete shadow copies',
	}[reason];
	return refused('storage-full', `${directory}: the diff area ${why}`);
}

export const tooManyCopies = (count: number, maximumCount: number) =>
	refused(
		'too-many-copies',
		`the volume has ${count} shadow copies, and may have ${maximumCount}; delete ${count - maximumCount + 1} first`,
	);

export const tooSmall = (usedBytes: number, maximumBytes: number) =>
	refused(
		'storage-full',
		`the shadow copies take ${usedBytes} bytes, more than ${maximumBytes}; delete some of them first`,
	);

export const lostBeforeFinished = () =>
	ioError('copy-lost', 'the new shadow copy had to go before it was on record; "noonmark events" says why');

export const noSegment = (directory: string, error: unknown) =>
	ioError('storage-unwritable', `${directory}: no segment can be made: ${messageOf(error)}`, error);

export const notOpened = (directory: string, error: unknown) =>
	ioError('storage-unwritable', `${directory}: cannot be opened for writing: ${messageOf(error)}`, error);

export const notGivenBack = (directory: string, error: unknown) =>
	ioError(
		'storage-unwritable',
		`${directory}: what deleted copies leave cannot be given back before the older ones go: ${messageOf(error)}`,
		error,
	);

/** The name of a fault, for events: errno's of the system call below, else the code of our own error. */
export function faultNameOf(error: unknown): string {
	const { cause } = error as { cause?: unknown };
	return codeOf(cause) ?? codeOf(error) ?? 'failed';
}

/** Node has no name for some numbers, EDQUOT's among them, and its numbers are negative. */
function codeOf(error: unknown): string | undefined {
	const { code, errno } = (error ?? {}) as NodeJS.ErrnoException;
	if (errno === undefined || !code?.startsWith('Unknown system error')) return code;
	return Object.entries(constants.errno).find(([, number]) => number === Math.abs(errno))?.[0] ?? code;
}
