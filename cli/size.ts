import type { MaximumSize } from '../src/control/messages.ts';

const UNITS: Record<string, number> = { '': 0, k: 1, m: 2, g: 3, t: 4 };

export const MAXIMUM_SIZE_EXPECTED = 'expected a size such as 500M, a percentage such as 15%, or unbounded';

/**
 * What `--max-size` says: `500M` (units of 1024: K, M, G, T, as KiB or KB too), `10%` of the volume, or `unbounded`.
 * Undefined where the text is none of these.
 */
export function parseMaximumSize(text: string): MaximumSize | undefined {
	if (text.toLowerCase() === 'unbounded') return 'unbounded';
	const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
	if (percent) return isPercentage(Number(percent[1])) ? { percent: Number(percent[1]) } : undefined;
	const bytes = parseSize(text);
	return bytes === undefined ? undefined : { bytes };
}

/** More than the volume, too: many copies of what is often rewritten take that. */
const isPercentage = (percent: number) => percent > 0 && percent <= 10_000;

/** `500M`: units of 1024. Undefined where the text is no size, or one that is not above zero, or beyond 8 PiB. */
export function parseSize(text: string): number | undefined {
	const size = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text);
	if (!size) return undefined;
	const bytes = Math.floor(Number(size[1]) * 1024 ** UNITS[size[2]!.toLowerCase()]!);
	return bytes > 0 && bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined;
}
