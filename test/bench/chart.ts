import { type Comparison, median } from './compare.ts';

const COLOURS = ['#2b6cb0', '#dd6b20', '#38a169', '#805ad5', '#d53f8c'];
const [LABEL_WIDTH, BAR_WIDTH, NUMBER_WIDTH] = [330, 480, 60];
const [BAR_HEIGHT, GAP, TOP] = [11, 12, 24];

/**
 * An SVG of the ratios: a group of bars for each work, a bar for each subject but the last, which is the line at 1. The
 * scale ends at twice the peer; a longer bar is cut off, its number is not.
 */
export function ratioChart(comparisons: readonly Comparison[]): string {
	const subjects = [...new Set(comparisons.flatMap(({ series }) => series.slice(0, -1).map(({ subject }) => subject)))];
	const parts: string[] = [];
	let y = TOP + subjects.length * 16;
	for (const { state, work, series } of comparisons) {
		const peer = median(series.at(-1)!.figures);
		parts.push(text(LABEL_WIDTH - 8, y + 9, `${state}: ${work}`, 'end'));
		for (const { subject, figures } of series.slice(0, -1)) {
			const ratio = median(figures) / peer || 0; // nothing where one of the two failed
			const width = (Math.min(ratio, 2) * BAR_WIDTH) / 2;
			parts.push(rectangle(LABEL_WIDTH, y, width, BAR_HEIGHT - 1, colourOf(subjects, subject)));
			parts.push(text(LABEL_WIDTH + width + 4, y + 9, ratio.toFixed(2)));
			y += BAR_HEIGHT;
		}
		y += GAP;
	}
	const oneX = LABEL_WIDTH + BAR_WIDTH / 2;
	parts.push(`<path d="M${oneX} ${TOP}V${y}" stroke="#000" stroke-dasharray="3"/>`);
	const peers = [...new Set(comparisons.map(({ series }) => series.at(-1)!.subject))].join(', ');
	const legend = [
		text(oneX + 4, TOP - 8, `1 = ${peers}`),
		...subjects.flatMap((subject, i) => [
			rectangle(8, TOP + i * 16 - 10, 10, 10, colourOf(subjects, subject)),
			text(24, TOP + i * 16, subject),
		]),
	];
	const width = LABEL_WIDTH + BAR_WIDTH + NUMBER_WIDTH;
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" font-family="sans-serif" font-size="10">`,
		rectangle(0, 0, width, y, '#fff'),
		...legend,
		...parts,
		'</svg>\n',
	].join('\n');
}

const colourOf = (subjects: readonly string[], subject: string) => COLOURS[subjects.indexOf(subject) % COLOURS.length]!;

const rectangle = (x: number, y: number, width: number, height: number, fill: string) =>
	`<rect x="${x}" y="${y}" width="${width.toFixed(1)}" height="${height}" fill="${fill}"/>`;

const text = (x: number, y: number, content: string, anchor = 'start') =>
	`<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}">${content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`;
