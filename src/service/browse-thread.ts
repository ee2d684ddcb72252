/** A browse thread: serves the tree of shadow copies, beside others on the same mount. */
import { workerData } from 'node:worker_threads';
import createDebug from 'debug';
import { messageOf } from '../errors.ts';
import { ExtFileSystem } from '../ext/filesystem.ts';
import { type BrowseCopy, BrowseTree } from '../fuse/browse-tree.ts';
import { runSession } from '../fuse/session.ts';
import { ShadowDevices } from './device-spec.ts';
import { OrderTaker } from './mailbox.ts';
import type { BrowsableCopy, BrowseOrder, BrowseThreadSetup } from './messages.ts';

const log = createDebug('noonmark:service:browse');
const setup = workerData as BrowseThreadSetup;
const orders = new OrderTaker<BrowseOrder>(setup.mailbox);
const devices = new ShadowDevices();
const tree = new BrowseTree();

function show(copies: readonly BrowsableCopy[]): void {
	tree.setCopies(copies.map(browseCopy));
	devices.release(copies.map(({ device }) => device));
}

function browseCopy({ number, name, createdAtMs, device }: BrowsableCopy): BrowseCopy {
	const view = devices.open(device);
	return { number, name, createdAtMs, open: () => ExtFileSystem.open(view), isGone: () => view.isGone() };
}

show(setup.copies);
runSession({
	fd: setup.fuseFd,
	wakeFd: orders.wakeFd,
	handler: tree,
	betweenRequests: () => {
		orders.takeAll(({ copies }) => show(copies));
		return -1;
	},
	log: (message, error) => log('%s: %s', message, messageOf(error)),
});
devices.close();
