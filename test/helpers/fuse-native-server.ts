/** The main module of a process that serves a mount through fuse-native: argv[2] is JSON, see serveFuseNative. */
import { mountFuseNative } from '../../src/fuse/fuse-native.ts';
import type { RequestHandler } from '../../src/fuse/session.ts';

const { handlerModule, handlerData, options } = JSON.parse(process.argv[2]!);
const { createHandler } = (await import(handlerModule)) as { createHandler(data: unknown): RequestHandler };
const mount = await mountFuseNative(createHandler(handlerData), options);
process.stdout.write('mounted\n');
await mount.ended;
process.exit(); // libfuse's thread would keep it
