/** Looks into the file system of an image, or of a shadow copy of a mounted volume. */
import { Worker } from 'node:worker_threads';
import { FileDevice } from '../block/file-device.ts';
import { ask } from '../control/client.ts';
import type { FileSystemReport, InspectSelection } from '../control/messages.ts';
import { errorFromPlain, ioError, messageOf, type PlainError } from '../errors.ts';
import { inspectFileSystem } from '../ext/inspect.ts';
import { parseGmtName } from '../shadow/gmt-name.ts';
import type { DeviceSpecification } from '../shadow/provider.ts';
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

/** For the service: in a thread of its own, since a damaged volume may take a while and nobody is to wait for that. */
export function inspectCopy(setup: InspectThreadSetup): Promise<FileSystemReport> {
	return new Promise((resolve, reject) => {
		const worker = new Worker(new URL('./inspect-thread.js', import.meta.url), { workerData: setup });
		worker.once('message', (answer: InspectThreadAnswer) => {
			if ('report' in answer) resolve(answer.report);
			else reject(errorFromPlain(answer.error));
		});
		worker.once('error', (error) => reject(ioError('failed', messageOf(error), error)));
		worker.once('exit', () => reject(ioError('failed', 'the inspecting thread ended without an answer')));
	});
}
