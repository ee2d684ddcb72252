import { once } from 'node:events';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { ask } from '../../src/control/client.ts';
import { GREETING, serveControl } from '../../src/control/server.ts';
import { Random } from '../helpers/random.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = anyTest.serial;

async function serve(t: ExecutionContext): Promise<string> {
	const socketPath = join(temporaryDirectory(t), 'control.sock');
	const server = await serveControl(socketPath, async ({ verb }) => verb);
	t.teardown(() => void server.close());
	return socketPath;
}

/** Says it, and returns what is answered, behind the greeting, before the connection ends. */
async function say(socketPath: string, text: string | Uint8Array, halfClose = false): Promise<string> {
	const socket = createConnection(socketPath);
	socket.on('error', () => {}); // closed while more was being said
	let answer = '';
	socket.setEncoding('utf8').on('data', (part: string) => {
		answer += part;
	});
	const closed = new Promise<void>((resolve, reject) => {
		socket.once('close', () => resolve());
		socket.setTimeout(30_000, () => {
			reject(new Error('neither an answer nor an end'));
			socket.destroy();
		});
	});
	if (halfClose) socket.end(text);
	else socket.write(text);
	await closed;
	if (!answer.startsWith(GREETING)) throw new Error(`not greeted: ${answer}`);
	return answer.slice(GREETING.length);
}

const isRefusal = (answer: string) => JSON.parse(answer).error.code === 'bad-request';

test('what is no request is refused, and the next one is answered', async (t) => {
	const socketPath = await serve(t);
	const texts = ['', 'status', 'null', '5', '[]', '{}', '"verb"', '{"verb":', '{"verb":1}', '{"verb":"toString"}'];
	for (const text of texts.map((line) => `${line}\n`)) {
		t.true(isRefusal(await say(socketPath, text)), text);
	}
	const random = new Random(Number(process.env.SEED ?? 1));
	t.log(`SEED=${random.seed}`);
	for (let i = 0; i < 50; i++) {
		const bytes = random.bytes(1 + random.integer(5000));
		t.true(isRefusal(await say(socketPath, Buffer.concat([bytes, Buffer.from('\n')]))));
	}
	t.is(await ask(socketPath, { verb: 'status' }), 'status');
});

test('half a message and a line without an end are closed without an answer', async (t) => {
	const socketPath = await serve(t);
	t.is(await say(socketPath, '{"verb":"sta', true), '');
	t.is(await say(socketPath, 'x'.repeat(3 << 20)), '');
	t.is(await ask(socketPath, { verb: 'status' }), 'status');
});

test('who connects and says nothing keeps nobody waiting', async (t) => {
	const socketPath = await serve(t);
	const silent = Array.from({ length: 300 }, () => createConnection(socketPath));
	t.teardown(() => silent.forEach((socket) => void socket.destroy()));
	await Promise.all(silent.map((socket) => once(socket, 'connect')));
	t.is(await ask(socketPath, { verb: 'status' }), 'status');
});
