/** A browse thread: serves the tree of shadow copies, beside others on the same mount. */
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import createDebug from 'debug';
import { LineCache } from '../block/line-cache.ts';
import { messageOf } from '../errors.ts';
import { ExtFileSystem } from '../ext/filesystem.ts';
import { type BrowseCopy, BrowseTree } from '../fuse/browse-tree.ts';
import { runSession } from '../fuse/session.ts';
import { StoreAhead } from '../fuse/store-ahead.ts';
import { ShadowDevices } from './device-spec.ts';
import { OrderTaker, WAKE } from './mailbox.ts';
import type { BrowsableCopy, BrowseOrder, BrowseThreadSetup, ShownCopies } from './messages.ts';

const log = createDebug('noonmark:service:browse');
const setup = workerData as BrowseThreadSetup;
const orders = new OrderTaker<BrowseOrder>(setup.mailbox);
const devices = new ShadowDevices();
const cache = new LineCache(setup.cacheBytes);

const note = (message: string, error: unknown) => log('%s: %s', message, messageOf(error));
const ahead = new StoreAhead({
	share: setup.ahead,
	threadNumber: setup.threadNumber,
	fuseFd: setup.fuseFd,
	wakeOthers: () => writeSync(setup.aheadFd, WAKE),
});
const tree = new BrowseTree({ log: note, ahead });

function show({ copies, changedAtMs }: ShownCopies): void {
	tree.setCopies(copies.map(browseCopy), changedAtMs);
	devices.release(copies.map(({ device }) => device));
}

function browseCopy({ number, name, createdAtMs, device }: BrowsableCopy): BrowseCopy {
	const view = devices.open(device);
	return {
		number,
		name,
		createdAtMs,
		open: () => ExtFileSystem.open(view, { cache }),
		isGone: () => view.isGone(),
	};
}

show(setup.shown);
runSession({
	fd: setup.fuseFd,
	wakeFds: [orders.wakeFd, setup.aheadFd],
	handler: tree,
	betweenRequests: () => {
		orders.takeAll(({ shown }) => show(shown));
		tree.readAhead();
		return -1;
	},
	log: note,
});
devices.close();
