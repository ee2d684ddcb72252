import type { FileDevice } from '../block/file-device.ts';
import { superblockState } from './superblock-watch.ts';
import type { VolumeMark } from './volume-mark.ts';
import { volumeStamp } from './volume-stamp.ts';

/** What tells whether a storage is that of the volume as it is now: for whoever opens one. */
export const volumeAsItIs = (device: FileDevice, mark: VolumeMark | undefined) => ({
	volumeSizeBytes: device.sizeBytes,
	volumeStamp: volumeStamp(device.fd),
	volumeState: superblockState(device),
	...(mark && { markedVolumeId: mark.volumeId, lostBefore: mark.lostBefore }),
});
