/**
 * The names of shadow copies: `@GMT-YYYY.MM.DD-HH.MM.SS`, the second of creation in UTC, as Windows' Previous Versions
 * and Samba expect them ([MS-SMB] 2.2.1.1.1).
 */
const PATTERN = /^@GMT-(\d{4})\.(\d\d)\.(\d\d)-(\d\d)\.(\d\d)\.(\d\d)$/;

/** The name of the second in which this moment lies (milliseconds since 1970, UTC). */
export function gmtName(timeMs: number): string {
	const [date, time] = new Date(timeMs).toISOString().slice(0, 19).split('T') as [string, string];
	return `@GMT-${date.replaceAll('-', '.')}-${time.replaceAll(':', '.')}`;
}

/** The second that a name stands for, in milliseconds since 1970; undefined where the text is no such name. */
export function parseGmtName(name: string): number | undefined {
	const match = PATTERN.exec(name);
	if (!match) return undefined;
	const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
		number,
		number,
		number,
		number,
		number,
		number,
	];
	const timeMs = Date.UTC(year, month - 1, day, hour, minute, second);
	return gmtName(timeMs) === name ? timeMs : undefined;
}

/** The name for a copy made now: that of this second, or of the next one that no copy has. */
export function freeGmtName(nowMs: number, taken: ReadonlySet<string>): string {
	let timeMs = nowMs;
	while (taken.has(gmtName(timeMs))) timeMs += 1000;
	return gmtName(timeMs);
}
