/** The life of a volume service: from the request to mount until everything is unmounted again. */
import type { Server } from 'node:net';
import { FileDevice } from '../block/file-device.ts';
import type { ControlRequest, StatusReport } from '../control/messages.ts';
import { serveControl } from '../control/server.ts';
import { ioError, NoonmarkError } from '../errors.ts';
import { hasCopies } from './find-storage.ts';
import { ImageBrowser } from './image-browser.ts';
import { hasLiveDevice, type MountPlan, type MountRequest, planMount, undoPlan } from './mount-plan.ts';
import { removeLeftLocks, turnToMount } from './mount-turn.ts';
import type { MountedVolume } from './mounted-volume.ts';
import { probeVolume } from './probe-volume.ts';
import {
	absolutePath,
	processStamp,
	register,
	unregister,
	untilSettled,
	type VolumePaths,
} from './runtime-directory.ts';
import { emptyLogRemover, removeOldLogs } from './service-logs.ts';
import { cleanUpStaleMounts } from './stale-mounts.ts';
import { type Surroundings, VolumeService } from './volume-service.ts';

/** After a signal, whoever uses a mount has so long to leave it: less than service managers wait before they kill. */
const PATIENCE_MS = 60_000;

/**
 * Mounts a volume and serves it. `onReady` is called once everything answers; the promise resolves when everything is
 * unmounted: at the control socket's word, because somebody unmounted it from outside, or after SIGTERM or SIGINT. Whoever
 * uses a mount may go on for PATIENCE_MS then, or until the next such signal. Errors: those of mounting; nothing is left
 * mounted then.
 */
export async function runService(
	request: MountRequest,
	surroundings: Surroundings,
	onReady: (status: StatusReport) => void,
): Promise<void> {
	const image = absolutePath(request.image);
	const removeLogIfEmpty = emptyLogRemover(image);
	const endTurn = await turnToMount(placesIn(request));
	try {
		removeLeftLocks();
		removeOldLogs();
		await serveVolume(request, surroundings, (status) => {
			endTurn();
			onReady(status);
		});
	} finally {
		removeLogIfEmpty();
		endTurn();
	}
}

async function serveVolume(
	request: MountRequest,
	surroundings: Surroundings,
	onReady: (status: StatusReport) => void,
): Promise<void> {
	await untilSettled(absolutePath(request.image));
	await cleanUpStaleMounts(placesIn(request));
	const plan = planMount(request);
	process.chdir('/'); // so that no directory is kept busy; all paths are absolute by now
	const image = openOrUndo(plan);
	const { pid } = process;
	const volume = { ...plan.paths, readOnly: plan.readOnly, pid, processStamp: processStamp(pid) };
	const { socketPath } = register(volume);
	let server: Server | undefined;
	let isReady = false;
	try {
		const service = hasLiveDevice(plan)
			? await VolumeService.start(plan, image, surroundings)
			: await ImageBrowser.start(plan, image.steadyPath, surroundings);
		const ended = untilEnd(service);
		server = await serveControl(socketPath, (message, gone) =>
			answer(service, message, { gone, unmounted: ended.unmounted }).catch((error) => {
				if (!(error instanceof NoonmarkError) || error.code !== 'thread-ended') throw error;
				throw ioError('service-gone', `${plan.paths.image}: is being unmounted`);
			}),
		);
		onReady(await service.status());
		isReady = true;
		await ended.promise;
	} finally {
		server?.close();
		image.close();
		unregister(volume);
		if (!isReady) undoPlan(plan);
	}
}

/** Every place that a mount is to stand on. */
const placesIn = ({ image, mountpoint, data, live, storage }: MountRequest) => [
	...[image, mountpoint, data, live, storage].filter((path) => path !== undefined).map(absolutePath),
	...(storage === undefined ? [`${absolutePath(image)}.noonmark`] : []),
];

function openOrUndo(plan: MountPlan): FileDevice {
	try {
		return openProbed(plan.paths);
	} catch (error) {
		undoPlan(plan);
		throw error;
	}
}

/** What has no file system that can be read is no volume, unless it was one: then its copies are needed more than ever. */
function openProbed({ image, storage, data }: VolumePaths): FileDevice {
	const device = FileDevice.open(image, 'read');
	try {
		probeVolume(device, image);
	} catch (error) {
		const isToBeShown = error instanceof NoonmarkError && hasCopies(storage);
		if (isToBeShown && data === null) return device;
		device.close();
		if (!isToBeShown) throw error;
		const message = `${error.message}; its shadow copies show where it is mounted without --data`;
		throw new NoonmarkError(error.family, error.code, message, { cause: error });
	}
	return device;
}

/** The ends that a service can come to. */
function untilEnd(service: MountedVolume): { promise: Promise<void>; unmounted: () => void } {
	let unmounted!: () => void;
	const byCommand = new Promise<void>((resolve) => {
		unmounted = resolve;
	});
	const impatience = new AbortController();
	let ending: Promise<void> | undefined;
	const end = () => {
		setTimeout(() => impatience.abort(), PATIENCE_MS).unref();
		ending = service.endPatiently(impatience.signal);
		return ending;
	};
	const bySignal = new Promise<void>((resolve, reject) => {
		let signalCount = 0;
		const onSignal = () => {
			if (++signalCount > 1) impatience.abort();
			else (ending ?? end()).then(resolve, reject);
		};
		process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
	});
	const fromOutside = service.lost().then(() => ending ?? end());
	return { promise: Promise.race([byCommand, bySignal, fromOutside]), unmounted };
}

interface Conversation {
	/** Aborts when the requester has gone. */
	readonly gone: AbortSignal;
	/** To be called when everything is unmounted. */
	unmounted(): void;
}

async function answer(service: MountedVolume, request: ControlRequest, conversation: Conversation): Promise<unknown> {
	switch (request.verb) {
		case 'status':
			return service.status();
		case 'create':
			return service.create({ noWriters: request.noWriters ?? false });
		case 'shadows':
			return service.shadowCopies();
		case 'storage':
			return service.storage();
		case 'events':
			return service.events();
		case 'follow':
			return service.follow(conversation.gone);
		case 'delete':
			return service.delete(request.which);
		case 'resize':
			return service.resize(request.maximumSize);
		case 'verify':
			return service.verify(conversation.gone);
		case 'inspect':
			return service.inspect(request.copy, request.selection);
		case 'unmount': {
			const status = await service.unmount();
			setImmediate(conversation.unmounted);
			return status;
		}
	}
}
