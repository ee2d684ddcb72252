import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import createDebug from 'debug';
import { messageOf, plainError, refused } from '../errors.ts';
import type { ControlReply, ControlRequest } from './messages.ts';

const log = createDebug('noonmark:control');

/** A request is a few hundred bytes; who sends more is no client. */
const REQUEST_BYTES_MAX = 1 << 20;

/** Listens on a Unix socket that only its owner may use; `answer` carries out a request, or throws. */
export function serveControl(
	socketPath: string,
	answer: (request: ControlRequest) => Promise<unknown>,
): Promise<Server> {
	const server = createServer((socket) => {
		socket.on('error', (error) => log('connection: %s', messageOf(error)));
		readLine(socket, async (line) => {
			socket.end(`${JSON.stringify(await replyTo(line, answer))}\n`);
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

async function replyTo(line: string, answer: (request: ControlRequest) => Promise<unknown>): Promise<ControlReply> {
	try {
		const request = parse(line);
		log('%s', request.verb);
		return { value: await answer(request) };
	} catch (error) {
		return { error: plainError(error) };
	}
}

function parse(line: string): ControlRequest {
	try {
		return JSON.parse(line) as ControlRequest;
	} catch {
		throw refused('bad-request', 'the control socket takes one line of JSON');
	}
}

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
