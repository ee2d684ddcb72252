import { writeSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { FileDevice } from '../../src/block/file-device.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { BrowseTree } from '../../src/fuse/browse-tree.ts';
import { FUSE_READ } from '../../src/fuse/protocol.ts';
import { StoreAhead, type StoreAheadShare } from '../../src/fuse/store-ahead.ts';

export interface StoreAheadServed {
	readonly name: string;
	readonly image: string;
	readonly share: StoreAheadShare;
	readonly aheadFd: number;
	/** One word: how many READs were answered. */
	readonly readCount: SharedArrayBuffer;
}

/** One copy, served with read-ahead across files; counts the READs. */
export function createHandler({ name, image, share, aheadFd, readCount }: StoreAheadServed, fuseFd: number) {
	const wakeOthers = () => writeSync(aheadFd, new BigUint64Array([1n]));
	const tree = new BrowseTree({
		log: (message, error) => console.error(message, error),
		ahead: new StoreAhead({ share, threadNumber: threadId, fuseFd, wakeOthers }),
	});
	const open = () => ExtFileSystem.open(FileDevice.open(image, 'read'));
	tree.setCopies([{ number: 1, name, createdAtMs: 0, open, openBriefly: open, isGone: () => false }], 0);
	const count = new Int32Array(readCount);
	return {
		features: tree.features,
		handle(...[request, reply]: Parameters<BrowseTree['handle']>) {
			if (request.opcode === FUSE_READ) Atomics.add(count, 0, 1);
			return tree.handle(request, reply);
		},
		betweenRequests: () => tree.readAhead(),
	};
}
