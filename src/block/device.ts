/**
 * A block device, synchronously. Offsets and lengths are bytes and need no alignment: each device deals with its own
 * granularity. Every layer of Noonmark that holds content (a file, a partition, a shadow copy) is one of these.
 */
export interface BlockDevice {
	readonly sizeBytes: number;

	/**
	 * Fills `into` with the bytes that start at `byteOffset`: all of them, or it throws.
	 * Errors: `io` where the storage fails; RangeError past the end (a bug of the caller: bounds are checked above).
	 */
	read(byteOffset: number, into: Uint8Array): void;

	/** A hint: this range will be read soon, so the storage may begin to fetch it. It waits for nothing and has no errors. */
	announceRead?(byteOffset: number, lengthBytes: number): void;

	close(): void;
}

export interface WritableBlockDevice extends BlockDevice {
	write(byteOffset: number, from: Uint8Array): void;

	/** Makes the range read as zeros. `free` also gives its space back to the storage below, where that is possible. */
	zero(byteOffset: number, lengthBytes: number, free: boolean): void;

	/** Returns once everything written before is durable. */
	flush(): void;
}
