import { FileDevice } from '../../src/block/file-device.ts';
import { LiveFile } from '../../src/fuse/live-file.ts';

/** The handler of the live file tests: a live file over a plain one. */
export function createHandler({ path, readOnly }: { path: string; readOnly: boolean }) {
	const device = FileDevice.open(path, readOnly ? 'read' : 'write');
	const store = readOnly
		? { sizeBytes: device.sizeBytes, read: device.read.bind(device), close: device.close.bind(device) }
		: device;
	return new LiveFile(store, { mode: 0o640, modifiedAtMs: 1_700_000_000_250 });
}
