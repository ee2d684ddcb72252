import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { errorFromPlain, ioError, messageOf, NoonmarkError } from '../errors.ts';
import type { ControlReply, ControlRequest } from './messages.ts';

/**
 * Asks a volume service to do something; resolves to its answer. Errors: the service's own; io `service-gone` where
 * nobody listens at the socket, or the service ends before it has answered.
 */
export function ask<Answer>(socketPath: string, request: ControlRequest): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const socket = createConnection(socketPath, () => socket.write(`${JSON.stringify(request)}\n`));
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
	});
}

/**
 * Asks for what has many answers; yields each as it comes, until the service ends. Errors: as `ask`, but the end of the
 * service is none.
 */
export async function* askForEach<Answer>(socketPath: string, request: ControlRequest): AsyncGenerator<Answer> {
	const socket = createConnection(socketPath, () => socket.write(`${JSON.stringify(request)}\n`));
	try {
		for await (const line of createInterface({ input: socket })) yield valueIn<Answer>(line);
	} catch (error) {
		throw error instanceof NoonmarkError ? error : gone(socketPath, messageOf(error));
	} finally {
		socket.destroy();
	}
}

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
