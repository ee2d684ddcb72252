import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { errorFromPlain, ioError, messageOf, NoonmarkError } from '../errors.ts';
import type { ControlReply, ControlRequest } from './messages.ts';

/** A service greets at once. One that has not for so long is stopped, or hangs. */
const GREETING_MS_MAX = 10_000;

/**
 * Asks a volume service to do something; resolves to its answer. Errors: the service's own; io `service-gone` where
 * nobody listens at the socket, or the service ends before it has answered; io `service-hangs` where it does not greet:
 * it was asked nothing then, and will do nothing later.
 */
export async function ask<Answer>(socketPath: string, request: ControlRequest): Promise<Answer> {
	const socket = await greeted(socketPath);
	return new Promise((resolve, reject) => {
		let text = '';
		socket.setEncoding('utf8');
		socket.on('data', (part: string) => {
			text += part;
		});
		socket.on('error', (error) => reject(gone(socketPath, messageOf(error))));
		socket.on('close', () => {
			if (!text.endsWith('\n')) return reject(gone(socketPath, 'it ended without an answer'));
			try {
				resolve(valueIn<Answer>(text));
			} catch (error) {
				reject(error);
			}
		});
		socket.resume();
		socket.write(`${JSON.stringify(request)}\n`);
	});
}

/**
 * Asks for what has many answers; yields each as it comes, until the service ends. Errors: as `ask`, but the end of the
 * service is none.
 */
export async function* askForEach<Answer>(socketPath: string, request: ControlRequest): AsyncGenerator<Answer> {
	const socket = await greeted(socketPath);
	try {
		socket.write(`${JSON.stringify(request)}\n`);
		for await (const line of createInterface({ input: socket })) yield valueIn<Answer>(line);
	} catch (error) {
		throw error instanceof NoonmarkError ? error : gone(socketPath, messageOf(error));
	} finally {
		socket.destroy();
	}
}

/** A connection to a service that runs: it has greeted, and says nothing more before it is asked. */
function greeted(socketPath: string): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const socket = createConnection(socketPath);
		const timer = setTimeout(() => {
			socket.destroy();
			reject(hangs(socketPath));
		}, GREETING_MS_MAX);
		socket.once('data', () => {
			clearTimeout(timer);
			socket.pause();
			resolve(socket);
		});
		const end = (why: string) => {
			clearTimeout(timer);
			reject(gone(socketPath, why));
		};
		socket.on('error', (error) => end(messageOf(error)));
		socket.on('close', () => end('it ended without an answer'));
	});
}

const hangs = (socketPath: string) =>
	ioError(
		'service-hangs',
		`the volume service at ${socketPath} has not answered for ${GREETING_MS_MAX / 1000} s: its process is stopped or hangs; nothing was done`,
	);

const gone = (socketPath: string, why: string) =>
	ioError('service-gone', `the volume service does not answer at ${socketPath}: ${why}`);

function valueIn<Answer>(line: string): Answer {
	const reply = JSON.parse(line) as ControlReply;
	if ('error' in reply) throw errorFromPlain(reply.error);
	return reply.value as Answer;
}

/** Whether somebody listens at the socket. */
export function isListening(socketPath: string): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = createConnection(socketPath, () => {
			socket.destroy();
			resolve(true);
		});
		socket.on('error', () => resolve(false));
	});
}
