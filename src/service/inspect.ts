/** Looks into the file system of an image, or of a shadow copy. */
import { FileDevice } from '../block/file-device.ts';
import { ask } from '../control/client.ts';
import type { FileSystemReport, InspectSelection } from '../control/messages.ts';
import { corrupt, errorFromPlain, type PlainError, refused } from '../errors.ts';
import { inspectFileSystem } from '../ext/inspect.ts';
import { parseGmtName } from '../shadow/gmt-name.ts';
import type { DeviceSpecification, ProvidedCopy } from '../shadow/provider.ts';
import { answerOfThread } from './answer-of-thread.ts';
import { selectCopies } from './copy-report.ts';
import { findRunningVolume } from './find-volume.ts';
import { offlineVolume, withStoredCopies } from './offline-storage.ts';
import { ShadowDevices } from './shadow-devices.ts';

/** Where what does not lie in the usual place is. */
export interface InspectPlaces {
	/** Of a volume that is not mounted; default: beside the image. */
	readonly storage?: string | undefined;
	/** The device or file with the journal of an image, where that is not in the volume. */
	readonly journal?: string | undefined;
}

/**
 * Describes what `target` names: `TARGET/@GMT-…`, perhaps with a path below, for a shadow copy, of a mounted volume or of
 * an image; else an image or a block device, as it lies on the disk. Errors: `no-such-copy`, `no-such-image`, `not-ext`,
 * refused `journal-of-copy`, `image-in-use`, io.
 */
export async function inspect(
	target: string,
	selection: InspectSelection,
	{ storage, journal }: InspectPlaces,
): Promise<FileSystemReport> {
	const parts = target.split('/');
	const at = parts.findIndex((part) => parseGmtName(part) !== undefined);
	if (at < 0) return inspectImage(target, selection, journal);
	if (journal !== undefined) {
		throw refused('journal-of-copy', `${target}: is a shadow copy, which a journal on another device is no part of`);
	}
	const volume = parts.slice(0, at).join('/') || (target.startsWith('/') ? '/' : '.');
	const below = parts.slice(at + 1).join('/');
	const isMore = selection.path !== undefined || selection.inodeNumber !== undefined;
	const chosen = below === '' || isMore ? selection : { ...selection, path: below };
	const running = await findRunningVolume(volume);
	if (running) return ask(running.socketPath, { verb: 'inspect', copy: parts[at]!, selection: chosen });
	return withStoredCopies(offlineVolume(volume, storage), (copies) =>
		inspectDevice(readableCopy(copies, parts[at]!), chosen),
	);
}

function inspectImage(image: string, selection: InspectSelection, journal: string | undefined): FileSystemReport {
	const device = FileDevice.open(image, 'read');
	const journalDevice = journal === undefined ? undefined : FileDevice.open(journal, 'read');
	try {
		return inspectFileSystem(device, selection, journalDevice);
	} finally {
		journalDevice?.close();
		device.close();
	}
}

/** Errors: those of inspectFileSystem. */
export function inspectDevice(device: DeviceSpecification, selection: InspectSelection): FileSystemReport {
	const devices = new ShadowDevices();
	try {
		return inspectFileSystem(devices.open(device), selection);
	} finally {
		devices.close();
	}
}

function readableCopy(copies: readonly ProvidedCopy[], wanted: string): DeviceSpecification {
	const [{ device, fault }] = selectCopies(copies, { named: [wanted] }) as [ProvidedCopy];
	if (fault !== null) throw corrupt('copy-unreadable', `${wanted}: cannot be read: ${fault}`);
	return device;
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
	const setup: InspectThreadSetup = { device: readableCopy(copies, wanted), selection };
	const answer = await answerOfThread<InspectThreadAnswer>('./inspect-thread.js', 'inspecting', setup);
	if ('error' in answer) throw errorFromPlain(answer.error);
	return answer.report;
}
