/** A browse thread: serves the tree of shadow copies, beside others on the same mount. */
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import createDebug from 'debug';
import { messageOf } from '../errors.ts';
import { ListAhead } from '../fuse/list-ahead.ts';
import { runSession } from '../fuse/session.ts';
import { StoreAhead } from '../fuse/store-ahead.ts';
import { Turns } from '../fuse/turns.ts';
import { OrderTaker, WAKE } from './mailbox.ts';
import type { BrowseOrder, BrowseThreadSetup } from './messages.ts';
import { ShownTree } from './shown-tree.ts';

const log = createDebug('noonmark:service:browse');
const setup = workerData as BrowseThreadSetup;
const orders = new OrderTaker<BrowseOrder>(setup.mailbox);
const note = (message: string, error: unknown) => log('%s: %s', message, messageOf(error));
const wakeOthers = () => writeSync(setup.aheadFd, WAKE);
const ahead = new StoreAhead({
	share: setup.ahead,
	threadNumber: setup.threadNumber,
	fuseFd: setup.fuseFd,
	wakeOthers,
});
const listAhead = new ListAhead(setup.listAhead, setup.threadNumber);
const shownTree = new ShownTree({ log: note, ahead, listAhead, cacheBytes: setup.cacheBytes }, setup.shown);
let isStopped = false;

function carryOut(order: BrowseOrder): void {
	if (order.kind === 'show') shownTree.show(order.shown);
	else isStopped = true;
}

runSession({
	fd: setup.fuseFd,
	wakeFds: [orders.wakeFd, setup.aheadFd],
	handler: shownTree.tree,
	turns: new Turns({ share: setup.turns, sessionNumber: setup.threadNumber, callOthers: wakeOthers }),
	betweenRequests: () => {
		orders.takeAll(carryOut);
		if (isStopped) return 'stop';
		shownTree.tree.readAhead();
		return -1;
	},
	log: note,
});
shownTree.close();
