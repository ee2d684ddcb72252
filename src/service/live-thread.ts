/**
 * The live thread: serves the live device, and is the only writer of the volume and of its diff area. The main thread's
 * orders come between two requests, which is what makes a commit a point in time: while an order is carried out, no
 * write is under way.
 */
import { parentPort, workerData } from 'node:worker_threads';
import createDebug from 'debug';
import { FileDevice } from '../block/file-device.ts';
import { DiffArea } from '../diff/diff-area.ts';
import { LiveVolume } from '../diff/live-volume.ts';
import { messageOf, plainError, refused } from '../errors.ts';
import { LiveFile } from '../fuse/live-file.ts';
import { runSession } from '../fuse/session.ts';
import { becomeIoFlusher, tryLockExclusive } from '../system/libc.ts';
import { OrderTaker } from './mailbox.ts';
import type { LiveOrder, LiveThreadNews, LiveThreadSetup } from './messages.ts';
import { OrderHandler } from './order-handler.ts';
import { lockStorage } from './storage-lock.ts';
import { WatchedVolume } from './superblock-watch.ts';
import { volumeAsItIs } from './volume-as-it-is.ts';
import { ImageMark, markFor } from './volume-mark.ts';
import { durableVolumeStamp } from './volume-stamp.ts';

const DRAIN_RETRY_MS = 1000;

const log = createDebug('noonmark:service:live');
const setup = workerData as LiveThreadSetup;
const orders = new OrderTaker<LiveOrder>(setup.mailbox);
const tell = (news: LiveThreadNews) => orders.tell(news);

function open() {
	const volume = FileDevice.open(setup.volumePath, setup.readOnly ? 'read' : 'write');
	if (!tryLockExclusive(volume.fd)) {
		throw refused('image-in-use', `${setup.imagePath}: is in use by another process that holds its lock`);
	}
	const unlockStorage = lockStorage(setup.storage.directory);
	const mark = new ImageMark(volume);
	const found = volumeAsItIs(volume, mark.value);
	const diffArea = DiffArea.open({
		...setup.storage,
		...found,
		onUnrecordedLoss: (lostBefore) => mark.set({ volumeId: diffArea.share.volumeId, lostBefore }),
	});
	const keepMark = () => {
		if (!setup.readOnly) mark.set(markFor(diffArea));
	};
	keepMark();
	return {
		volume,
		unlockStorage,
		stamp: found.volumeStamp,
		diffArea,
		mark,
		keepMark,
		live: new LiveVolume(volume, diffArea, () => performance.now()),
	};
}

type OpenedVolume = ReturnType<typeof open>;

/** Serves the mount until it is unmounted, then closes everything in order. */
function serve(opened: OpenedVolume, fuseFd: number): void {
	const { diffArea, live, volume } = opened;
	becomeIoFlusher();
	const handler = new OrderHandler(opened);
	const takeOrders = () => orders.takeAll((order) => handler.carryOut(order));
	const reclaimIfDue = reclaiming(diffArea);
	const betweenRequests = () => {
		takeOrders();
		while (!handler.isStopped && handler.heldMs > 0) {
			orders.wait(handler.heldMs);
			takeOrders();
		}
		if (handler.isStopped) return 'stop';
		const events = diffArea.takeEvents();
		if (events.length > 0) tell({ kind: 'events', events });
		volume.prepareFlush();
		const delaysMs = [drainIfDue(live), reclaimIfDue()].filter((delayMs) => delayMs >= 0);
		return delaysMs.length > 0 ? Math.min(...delaysMs) : -1;
	};
	runSession({
		fd: fuseFd,
		wakeFds: [orders.wakeFd],
		handler: liveFileOf(opened),
		betweenRequests,
		log: (message, error) => log('%s: %s', message, messageOf(error)),
	});
	close(opened);
}

function liveFileOf({ live, diffArea }: OpenedVolume): LiveFile {
	const watched = new WatchedVolume(live, (states) => diffArea.noteVolumeStates(states));
	const store = setup.readOnly ? { sizeBytes: live.sizeBytes, read: live.read.bind(live), close() {} } : watched;
	return new LiveFile(store, { mode: setup.readOnly ? 0o400 : 0o600, modifiedAtMs: 0 });
}

/** What cannot be drained stays held, and is tried again: a session that ended here would leave its clients waiting. */
function drainIfDue(live: LiveVolume): number {
	try {
		return live.drainIfDue();
	} catch (error) {
		log('held writes: %s', messageOf(error));
		return DRAIN_RETRY_MS;
	}
}

/** Takes a fifth of the time at most, so that requests do not wait for it. */
function reclaiming(diffArea: DiffArea): () => number {
	let dueAtMs = 0;
	return () => {
		if (setup.readOnly || !diffArea.hasToReclaim) return -1;
		const startMs = performance.now();
		if (startMs >= dueAtMs) {
			diffArea.reclaim();
			dueAtMs = performance.now() + 4 * (performance.now() - startMs);
		}
		return Math.ceil(dueAtMs - performance.now());
	};
}

function close({ live, keepMark, diffArea, stamp, unlockStorage, volume }: OpenedVolume): void {
	live.flush();
	keepMark();
	try {
		diffArea.close(setup.readOnly ? stamp : durableVolumeStamp(volume.fd));
	} catch (error) {
		log('the diff area could not be closed in order: %s', messageOf(error)); // it is opened as after a crash
	}
	unlockStorage();
	volume.close();
}

try {
	const opened = open();
	parentPort!.once('message', ({ fuseFd }: { fuseFd: number }) => serve(opened, fuseFd));
	tell({ kind: 'ready', sizeBytes: opened.volume.sizeBytes, diffArea: opened.diffArea.share });
} catch (error) {
	tell({ kind: 'failed', error: plainError(error) });
}
