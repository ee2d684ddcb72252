import { createConnection } from 'node:net';
import { errorFromPlain, ioError, messageOf } from '../errors.ts';
import type { ControlReply, ControlRequest } from './messages.ts';

/**
 * Asks a volume service to do something; resolves to its answer. Errors: the service's own; io `service-gone` where
 * nobody listens at the socket, or the service ends before it has answered.
 */
export function ask<Answer>(socketPath: string, request: ControlRequest): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const gone = (why: string) =>
			reject(ioError('service-gone', `the volume service does not answer at ${socketPath}: ${why}`));
		const socket = createConnection(socketPath, () => socket.write(`${JSON.stringify(request)}\n`));
		let text = '';
		socket.setEncoding('utf8');
		socket.on('data', (part: string) => {
			text += part;
		});
		socket.on('error', (error) => gone(messageOf(error)));
		socket.on('close', () => {
			if (!text.endsWith('\n')) return gone('it ended without an answer');
			const reply = JSON.parse(text) as ControlReply;
			if ('error' in reply) reject(errorFromPlain(reply.error));
			else resolve(reply.value as Answer);
		});
	});
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
