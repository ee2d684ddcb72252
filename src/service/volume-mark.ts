import { closeSync, fsyncSync, openSync } from 'node:fs';
import createDebug from 'debug';
import type { FileDevice } from '../block/file-device.ts';
import type { DiffArea } from '../diff/diff-area.ts';
import { corrupt, ioError, messageOf } from '../errors.ts';
import { getXattr, removeXattr, SystemError, setXattr } from '../system/libc.ts';

const log = createDebug('noonmark:service:mark');

const ATTRIBUTE = 'user.noonmark';

/**
 * The mark on an image, in its extended attribute `user.noonmark`: that it has shadow copies, and in which storage. So a
 * storage that is lost is noticed, and what a dying storage could not take note of is not forgotten. Block devices have
 * none, nor have files where the file system does not keep such attributes.
 */
export interface VolumeMark {
	/** The volume id in the storage's catalog. */
	readonly volumeId: string;
	/** Copies of epochs before this one are lost, whatever the catalog says. */
	readonly lostBefore: number;
}

/**
 * What the mark of a volume must be: none where its storage has no copies. A loss that the storage did not take note of
 * stays in the mark until it did, whatever is made or closed meanwhile.
 */
export function markFor({ share, allCopies, unrecordedLossBefore }: DiffArea): VolumeMark | undefined {
	if (allCopies.length === 0 && unrecordedLossBefore === 0) return undefined;
	return { volumeId: share.volumeId, lostBefore: unrecordedLossBefore };
}

/** An image that is open: its name is for messages, for another file may have taken it. */
export type OpenImage = Pick<FileDevice, 'path' | 'steadyPath'>;

/**
 * Reads the mark; undefined where there is none, or can be none. Errors: corrupt `mark-damaged`; io `mark-unreadable`,
 * since without what it says lost copies would pass for sound ones.
 */
export function readMark(image: OpenImage): VolumeMark | undefined {
	const value = readAttribute(image);
	if (value === undefined) return undefined;
	try {
		const { volumeId, lostBefore } = JSON.parse(value.toString()) as VolumeMark;
		if (/^[0-9a-f]{32}$/.test(volumeId) && Number.isSafeInteger(lostBefore)) return { volumeId, lostBefore };
	} catch {}
	throw corrupt(
		'mark-damaged',
		`${image.path}: its attribute ${ATTRIBUTE} is not what Noonmark writes: ${value.toString('latin1')}; "setfattr -x ${ATTRIBUTE} IMAGE" removes it`,
	);
}

function readAttribute({ path, steadyPath }: OpenImage): Buffer | undefined {
	try {
		return getXattr(steadyPath, ATTRIBUTE);
	} catch (error) {
		if (error instanceof SystemError && error.code === 'ENOTSUP') return undefined;
		throw ioError('mark-unreadable', `${path}: its mark cannot be read: ${messageOf(error)}`, error);
	}
}

/** Sets the mark, or removes it; durable on return. Returns false where the image cannot have one. */
export function writeMark({ path, steadyPath }: OpenImage, mark: VolumeMark | undefined): boolean {
	try {
		if (mark) setXattr(steadyPath, ATTRIBUTE, Buffer.from(JSON.stringify(mark)));
		else removeXattr(steadyPath, ATTRIBUTE);
		const fd = openSync(steadyPath, 'r');
		try {
			fsyncSync(fd);
		} finally {
			closeSync(fd);
		}
		return true;
	} catch (error) {
		log('%s: %s', path, messageOf(error));
		return false;
	}
}

/** The mark of one image, written only where it changes. */
export class ImageMark {
	readonly #image: OpenImage;
	#value: VolumeMark | undefined;

	/** Errors: those of readMark. */
	constructor(image: OpenImage) {
		this.#image = image;
		this.#value = readMark(image);
	}

	get value(): VolumeMark | undefined {
		return this.#value;
	}

	set(mark: VolumeMark | undefined): void {
		if (mark?.volumeId === this.#value?.volumeId && mark?.lostBefore === this.#value?.lostBefore) return;
		if (writeMark(this.#image, mark)) this.#value = mark;
	}
}
