/** Looks into the file system of an image, or of a shadow copy of a mounted volume. */
import { FileDevice } from '../block/file-device.ts';
import { ask } from '../control/client.ts';
import type { FileSystemReport, InspectSelection } from '../control/messages.ts';
import { corrupt, errorFromPlain, type PlainError } from '../errors.ts';
import { inspectFileSystem } from '../ext/inspect.ts';
import { parseGmtName } from '../shadow/gmt-name.ts';
import type { DeviceSpecification, ProvidedCopy } from '../shadow/provider.ts';
import { answerOfThread } from './answer-of-thread.ts';
import { selectCopies } from './copy-report.ts';
import { findVolume } from './runtime-directory.ts';

/**
 * Describes what `target` names: `TARGET/@GMT-…`, perhaps with a path below, for a shadow copy; else an image or a
 * block device, as it lies on the disk. Errors: `no-such-volume`, `no-such-copy`, `no-such-image`, `not-ext`, io.
 */
export async function inspect(target: string, selection: InspectSelection): Promise<FileSystemReport> {
	const parts = target.split('/');
	const at = parts.findIndex((part) => parseGmtName(part) !== undefined);
	if (at < 0) return inspectImage(target, selection);
	const { socketPath } = await findVolume(parts.slice(0, at).join('/') || (target.startsWith('/') ? '/' : '.'));
	const below = parts.slice(at + 1).join('/');
	const isMore = selection.path !== undefined || selection.inodeNumber !== undefined;
	return ask<FileSystemReport>(socketPath, {
		verb: 'inspect',
		copy: parts[at]!,
		selection: below === '' || isMore ? selection : { ...selection, path: below },
	});
}

function inspectImage(image: string, selection: InspectSelection): FileSystemReport {
	const device = FileDevice.open(image, 'read');
	try {
		return inspectFileSystem(device, selection);
	} finally {
		device.close();
	}
}

/** What the thread of an inspection gets, and what it answers. */
export interface InspectThreadSetup {
	readonly device: DeviceSpecification;
	readonly selection: InspectSelection;
}
export type InspectThreadAnswer = { readonly report: FileSystemReport } | { readonly error: PlainError };

/**
 * Looks into one of these copies, by name or id, for the service: in a thread of its own, since a damaged volume may take
 * a while. Errors: missing `no-such-copy`; corrupt `copy-unreadable`; those of inspectFileSystem.
 */
export async function inspectCopy(
	copies: readonly ProvidedCopy[],
	wanted: string,
	selection: InspectSelection,
): Promise<FileSystemReport> {
	const [{ device, fault }] = selectCopies(copies, { named: [wanted] }) as [ProvidedCopy];
	if (fault !== null) throw corrupt('copy-unreadable', `${wanted}: cannot be read: ${fault}`);
	const setup: InspectThreadSetup = { device, selection };
	const answer = await answerOfThread<InspectThreadAnswer>('./inspect-thread.js', 'inspecting', setup);
	if ('error' in answer) throw errorFromPlain(answer.error);
	return answer.report;
}
