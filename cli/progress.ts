const WIDTH = 40;

/** Shows on a terminal how far something has come. Nothing is shown elsewhere. */
export function showProgress({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }): void {
	if (!process.stderr.isTTY || totalBytes === 0) return;
	const filled = Math.floor((WIDTH * doneBytes) / totalBytes);
	const percent = Math.floor((100 * doneBytes) / totalBytes);
	const isDone = doneBytes === totalBytes;
	const bar = `[${'='.repeat(filled)}${' '.repeat(WIDTH - filled)}] ${percent} %`;
	process.stderr.write(isDone ? '\r\x1b[K' : `\r${bar}`);
}
