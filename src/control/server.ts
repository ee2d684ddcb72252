import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import createDebug from 'debug';
import { messageOf, plainError } from '../errors.ts';
import type { ControlReply, ControlRequest } from './messages.ts';
import { requestIn } from './request-check.ts';

const log = createDebug('noonmark:control');

/** A request is a few hundred bytes; who sends more is no client. */
const REQUEST_BYTES_MAX = 1 << 20;
/** Who asked for many answers and lets so much of them lie does not read them. */
const UNREAD_BYTES_MAX = 1 << 20;

/**
 * Carries out a request, or throws. Resolves to the one answer, or to a generator of many; `gone` aborts when nobody
 * waits for them any more.
 */
export type Answer = (request: ControlRequest, gone: AbortSignal) => Promise<unknown>;

/** Sent to whoever connects, so that they know that this service runs: a stopped one has connections made for it, too. */
export const GREETING = '\n';

/** Listens on a Unix socket that only its owner may use. */
export function serveControl(socketPath: string, answer: Answer): Promise<Server> {
	const server = createServer((socket) => {
		const gone = new AbortController();
		socket.unref(); // a client that stays connected does not keep a service whose work is done
		socket.on('error', (error) => log('connection: %s', messageOf(error)));
		socket.on('close', () => gone.abort());
		socket.write(GREETING);
		readLine(socket, async (line) => {
			for await (const reply of repliesTo(line, answer, gone.signal)) {
				if (socket.writableLength > UNREAD_BYTES_MAX) return void socket.destroy();
				socket.write(`${JSON.stringify(reply)}\n`);
			}
			socket.end();
		});
	});
	return new Promise((resolve, reject) => {
		server.once('error', reject);
		server.listen(socketPath, () => {
			chmodSync(socketPath, 0o600);
			resolve(server);
		});
	});
}

async function* repliesTo(line: string, answer: Answer, gone: AbortSignal): AsyncGenerator<ControlReply> {
	try {
		const request = requestIn(line);
		log('%s', request.verb);
		const answered = await answer(request, gone);
		if (!isGenerator(answered)) return void (yield { value: answered });
		for await (const value of answered) yield { value };
	} catch (error) {
		if (!gone.aborted) yield { error: plainError(error) };
	}
}

const isGenerator = (value: unknown): value is AsyncGenerator<unknown> =>
	typeof value === 'object' && value !== null && Symbol.asyncIterator in value;

function readLine(socket: Socket, onLine: (line: string) => void): void {
	let text = '';
	socket.setEncoding('utf8');
	socket.on('data', (part: string) => {
		const end = part.indexOf('\n');
		if (text.length + part.length > REQUEST_BYTES_MAX) return void socket.destroy();
		text += part;
		if (end < 0) return;
		socket.removeAllListeners('data');
		onLine(text.slice(0, text.indexOf('\n')));
	});
}
