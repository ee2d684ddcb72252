/** Whether an error of the file system means that there is no room: on the disk, or in the quota of its owner. */
export function isNoSpace(error: unknown): boolean {
	const { code } = error as NodeJS.ErrnoException;
	return code === 'ENOSPC' || code === 'EDQUOT';
}

/** The name of a fault, for events: errno's of the system call below, else the code of our own error. */
export function faultNameOf(error: unknown): string {
	const { code, cause } = error as { code?: string; cause?: unknown };
	return (cause as { code?: string } | undefined)?.code ?? code ?? 'failed';
}
