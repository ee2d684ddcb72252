import { join } from 'node:path';
import type { ShadowCopyReport } from '../control/messages.ts';
import type { ProvidedCopy, ProviderType } from '../shadow/provider.ts';
import type { VolumePaths } from './runtime-directory.ts';

/** A shadow copy of a mounted volume as users see it. */
export function copyReport(
	{ copy, preservedBytes }: ProvidedCopy,
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
		state: 'created',
		attributes: copy.attributes,
		preservedBytes,
	};
}
