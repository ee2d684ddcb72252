import type {
	CopySelection,
	FileSystemReport,
	InspectSelection,
	MaximumSize,
	ShadowCopyReport,
	StatusReport,
	StorageReport,
	VerifyNews,
	VolumeEvent,
} from '../control/messages.ts';

/** A volume that is mounted, as its control socket knows it. What cannot be done with it is refused. */
export interface MountedVolume {
	status(): Promise<StatusReport>;
	storage(): Promise<StorageReport>;
	/** Oldest first. */
	shadowCopies(): Promise<ShadowCopyReport[]>;
	/** `noWriters`: without freezing the file systems that are mounted from the live device. */
	create(options: { readonly noWriters: boolean }): Promise<ShadowCopyReport[]>;
	/** Returns those that were deleted. Errors: missing `no-such-copy`, before any is deleted. */
	delete(which: CopySelection): Promise<ShadowCopyReport[]>;
	/** Changes the most that the storage may take, for good. Errors: refused `storage-full`, `read-only`. */
	resize(maximumSize: MaximumSize): Promise<StorageReport>;
	/** Looks into a copy, by name or id. Errors: missing `no-such-copy`; those of `inspectFileSystem`. */
	inspect(copy: string, selection: InspectSelection): Promise<FileSystemReport>;
	/** Checks what is kept for the copies, without holding up the volume; progress, and at last what was found. */
	verify(gone: AbortSignal): Promise<AsyncGenerator<VerifyNews>>;
	/** The events that are kept, oldest first. */
	events(): readonly VolumeEvent[];
	/** These, and then each new one, until the service ends or `gone` aborts. */
	follow(gone: AbortSignal): AsyncGenerator<VolumeEvent>;
	/**
	 * Takes everything down; returns how it stood before. Errors: refused `mount-busy`, with who is in the way; where that can be seen beforehand,
	 * nothing has been taken down.
	 */
	unmount(): Promise<StatusReport>;
	/**
	 * As unmount, but whoever uses a mount may go on until the signal aborts. Then what was written is made durable, and who
	 * still uses a mount gets errors.
	 */
	endPatiently(impatient: AbortSignal): Promise<void>;
	/** Resolves, to what happened, when something is gone without having been asked to go. */
	lost(): Promise<string>;
}
