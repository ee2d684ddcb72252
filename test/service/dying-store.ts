/**
 * Loaded into a service before its own modules, and so into each of its threads (`node --import`): the first store of a
 * file's content into the kernel's page cache ends the thread that makes it, as running out of memory would: no `finally`
 * runs. The file that DYING_STORE names is there from then on, and later stores are made.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { FUSE_NOTIFY_STORE, outHeader } from '../../src/fuse/protocol.ts';

const { error } = outHeader.fields;
const isStore = (message: unknown) =>
	Buffer.isBuffer(message) &&
	message.length > outHeader.sizeBytes &&
	error.read(message, error.at) === FUSE_NOTIFY_STORE;

const { writeSync } = fs;
if (!isMainThread)
	fs.writeSync = ((...args: Parameters<typeof writeSync>) => {
		if (isStore(args[1]) && !fs.existsSync(process.env.DYING_STORE!)) {
			fs.closeSync(fs.openSync(process.env.DYING_STORE!, 'w'));
			process.exit(1);
		}
		return writeSync(...args);
	}) as typeof writeSync;
syncBuiltinESMExports();
