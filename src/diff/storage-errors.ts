/** Whether an error of the file system means that there is no room: on the disk, or in the quota of its owner. */
export function isNoSpace(error: unknown): boolean {
	const { code } = error as NodeJS.ErrnoException;
	return code === 'ENOSPC' || code === 'EDQUOT';
}
