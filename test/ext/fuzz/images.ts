import { buildImage } from '../../../images/matrix.ts';
import { makeImage } from '../../../images/populate.ts';
import { cutWithFastCommits } from '../../helpers/fast-commits.ts';

/** Beside the kinds of the matrix: a log with fast commits, which no kernel is to replay. */
export const FAST_COMMITS = 'ext4, with fast commits pending';

export async function buildFuzzImage(kind: string, image: string): Promise<void> {
	if (kind !== FAST_COMMITS) return void (await buildImage(kind, image));
	const whole = `${image}.whole`;
	await makeImage(whole, 24, ['-t', 'ext4', '-J', 'size=8,fast_commit_size=2048', '-O', 'fast_commit']);
	await cutWithFastCommits(whole, image, { seed: 1, steps: 60, smallestBytes: 0 });
}
