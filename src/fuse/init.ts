import {
	FUSE_ASYNC_DIO,
	FUSE_ASYNC_READ,
	FUSE_BIG_WRITES,
	FUSE_INIT_EXT,
	FUSE_KERNEL_MINOR_VERSION,
	FUSE_KERNEL_VERSION,
	FUSE_MAX_PAGES,
	initIn,
	initOut,
	MAX_CONTENT_BYTES,
	PAGE_BYTES,
} from './protocol.ts';
import type { Request } from './request.ts';

/** What one file system wants of the protocol beyond what all of ours want. */
export interface InitFeatures {
	readonly flags: number;
	/** Bits 32 and up of the flags. */
	readonly flags2: number;
}

const COMMON_FLAGS = FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_INIT_EXT;

/** Requests that the kernel may have under way on its own account, as read-ahead. */
const MAX_BACKGROUND_COUNT = 64;

/** Answers INIT: the flags that are wanted and that the kernel offers, requests of up to MAX_CONTENT_BYTES. */
export function negotiate(request: Request, reply: Buffer, features: InitFeatures): number {
	const offeredFlags = request.get(initIn.fields.flags);
	// flags2 exists only where the kernel says so; elsewhere the bytes of another request would be read.
	const offeredFlags2 = offeredFlags & FUSE_INIT_EXT ? request.get(initIn.fields.flags2) : 0;
	reply.fill(0, 0, initOut.sizeBytes);
	initOut.encode(
		{
			major: FUSE_KERNEL_VERSION,
			minor: FUSE_KERNEL_MINOR_VERSION,
			// The kernel takes the smaller of this and the read-ahead of the mount's backing device.
			maxReadAheadBytes: MAX_CONTENT_BYTES,
			flags: (offeredFlags & (COMMON_FLAGS | features.flags)) >>> 0,
			maxBackgroundCount: MAX_BACKGROUND_COUNT,
			congestionThresholdCount: MAX_BACKGROUND_COUNT - MAX_BACKGROUND_COUNT / 4,
			maxWriteBytes: MAX_CONTENT_BYTES,
			timeGranularityNsec: 1,
			maxPages: MAX_CONTENT_BYTES / PAGE_BYTES,
			flags2: (offeredFlags2 & features.flags2) >>> 0,
		},
		reply,
	);
	return initOut.sizeBytes;
}
