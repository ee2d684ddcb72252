import { join } from 'node:path';
import type { CopySelection, CopyState, ShadowCopyReport } from '../control/messages.ts';
import { missing } from '../errors.ts';
import type { ProvidedCopy, ProviderType } from '../shadow/provider.ts';
import type { BrowsableCopy } from './messages.ts';
import type { VolumePaths } from './runtime-directory.ts';

/** A shadow copy of a mounted volume as users see it. */
export function copyReport(
	{ copy, preservedBytes }: ProvidedCopy,
	state: CopyState,
	provider: ProviderType,
	{ image, mountpoint }: Pick<VolumePaths, 'image' | 'mountpoint'>,
): ShadowCopyReport {
	return {
		id: copy.id,
		setId: copy.setId,
		name: copy.name,
		createdAt: new Date(copy.createdAtMs).toISOString(),
		path: join(mountpoint, copy.name),
		volume: image,
		provider,
		...state,
		attributes: copy.attributes,
		preservedBytes,
		freedByDeletingBytes: null,
	};
}

/** The copies that can be read, as the threads that show them need them. */
export const browsableCopies = (copies: readonly ProvidedCopy[]): BrowsableCopy[] =>
	copies
		.filter(({ fault }) => fault === null)
		.map(({ copy: { name, createdAtMs }, device, number }) => ({ number, name, createdAtMs, device }));

/** Errors: missing `no-such-copy`. */
export function selectCopies(copies: readonly ProvidedCopy[], which: CopySelection): ProvidedCopy[] {
	if ('all' in which) return [...copies];
	if ('oldest' in which) return copies.slice(0, 1);
	return which.named.map((wanted) => {
		const found = copies.find(({ copy }) => copy.name === wanted || copy.id === wanted);
		if (found) return found;
		const there = copies.map(({ copy }) => copy.name).join(', ');
		throw missing(
			'no-such-copy',
			`${wanted}: no shadow copy has this name or id; ${there ? `there are: ${there}` : 'there is none'}`,
		);
	});
}
