import type { StoredCopies } from '../diff/stored-copies.ts';
import type { ProvidedCopy } from '../shadow/provider.ts';
import type { ShadowCopy } from '../shadow/shadow-copy.ts';

/** The copies of a storage that no service has open. */
export const storedAsProvided = (volumePath: string, stored: StoredCopies): ProvidedCopy[] =>
	stored.copies.map(({ epoch, label, fault, preservedBytes }) => ({
		copy: label as ShadowCopy,
		number: epoch,
		preservedBytes,
		fault,
		device: { kind: 'diff-area', volumePath, diffArea: stored.share, epoch },
	}));
