import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { withKernelMount } from '../../images/kernel-mount.ts';
import { makeImage, populateImage } from '../../images/populate.ts';
import { ExtFileSystem } from '../../src/ext/filesystem.ts';
import { BrowseTree } from '../../src/fuse/browse-tree.ts';
import { createListAheadShare, ListAhead, type ListAheadShare, releaseListAhead } from '../../src/fuse/list-ahead.ts';
import { attr, dirent, entryOut, FUSE_READDIRPLUS, MAX_CONTENT_BYTES, readIn } from '../../src/fuse/protocol.ts';
import { Request } from '../../src/fuse/request.ts';
import { DamagedImage } from '../helpers/damaged-image.ts';
import { Random } from '../helpers/random.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = canMount && programs('mke2fs', 'python3') ? anyTest : anyTest.skip;
const ESTALE = 116;
const ROOT = 2;

let built: Promise<Buffer> | undefined;

/** One of everything, and directories that take several replies, with more below them. */
function imageBytes(t: ExecutionContext): Promise<Buffer> {
	built ??= buildImage(t);
	return built.then(Buffer.from);
}

async function buildImage(t: ExecutionContext): Promise<Buffer> {
	const image = await makeImage(join(temporaryDirectory(t), 'image'), 32, ['-t', 'ext4', '-b', '1024', '-N', '8000']);
	await populateImage(image);
	await withKernelMount(image, 'noatime', (root) =>
		shell('mkdir -p "$1"/wide/{1..60}/{1..3}; touch "$1"/wide/file-{1..900} "$1"/wide/{1..60}/2/file-{1..9}', [root]),
	);
	return readFileSync(image);
}

/** How often what was prepared was of use. */
class CountedListAhead extends ListAhead {
	uses = 0;

	override begin(...[place, reply]: Parameters<ListAhead['begin']>) {
		const listedTo = super.begin(place, reply);
		if (reply.sizeBytes > 0) this.uses++;
		return listedTo;
	}
}

/** Asks a tree for listings, as the kernel does. */
class Client {
	readonly #request = new Request();
	readonly #reply = Buffer.alloc(MAX_CONTENT_BYTES);
	readonly listAhead: CountedListAhead;
	readonly tree: BrowseTree;
	isGone = false;

	constructor(device: DamagedImage, share?: ListAheadShare, threadNumber?: number) {
		this.listAhead = new CountedListAhead(share, threadNumber);
		this.tree = new BrowseTree({ log: () => {}, listAhead: this.listAhead });
		const [open, isGone] = [() => ExtFileSystem.open(device), () => this.isGone];
		this.tree.setCopies(
			[{ number: 1, name: '@GMT-2026.11.22-10.20.00', createdAtMs: 0, open, openBriefly: open, isGone }],
			0,
		);
	}

	/** The reply's bytes, or what went wrong. */
	list(inodeNumber: number, byteOffset: number, lengthBytes: number): Buffer | string {
		const body = readIn.encode({ byteOffset, lengthBytes });
		this.#request.compose(FUSE_READDIRPLUS, { high: 1, low: inodeNumber }, body);
		try {
			const result = this.tree.handle(this.#request, this.#reply);
			return result < 0 ? `errno ${-result}` : Buffer.from(this.#reply.subarray(0, result));
		} catch (error) {
			return String(error);
		}
	}

	prepare(steps: number): void {
		for (let i = 0; i < steps; i++) this.tree.whileSpinning();
	}
}

/** The subdirectories in a reply, and where it goes on. */
function contentOf(reply: Buffer): { directories: number[]; position: number } {
	const directories: number[] = [];
	let position = 0;
	for (let at = 0; at < reply.length; ) {
		const inodeNumber = entryOut.decode(reply, at).nodeLow;
		const { mode } = attr.decode(reply, at + entryOut.sizeBytes);
		if (inodeNumber !== 0 && mode >>> 12 === 4) directories.push(inodeNumber);
		const { nextPosition, nameBytes } = dirent.decode(reply, at + entryOut.sizeBytes + attr.sizeBytes);
		position = nextPosition;
		at += Math.ceil((entryOut.sizeBytes + attr.sizeBytes + dirent.sizeBytes + nameBytes) / 8) * 8;
	}
	return { directories, position };
}

type Ask = (inodeNumber: number, position: number) => Buffer | string;

/** Goes through a tree as find does, but for directories that are left out or entered too early at random. */
function walkThrough(ask: Ask, random: Random, inodeNumber = ROOT): void {
	const directories: number[] = [];
	for (let position = 0; ; ) {
		const reply = ask(inodeNumber, position);
		if (typeof reply === 'string' || reply.length === 0) break;
		const content = contentOf(reply);
		directories.push(...content.directories);
		position = content.position;
	}
	for (const [i, directory] of directories.entries()) {
		if (random.integer(10) === 0) continue;
		if (random.integer(10) === 0) ask(random.pick(directories), 0);
		walkThrough(ask, random, directories[i]);
		if (random.integer(10) === 0) ask(directory, random.integer(5000));
	}
}

/** What clients ask for: one all the time, or several in turns. */
const SIZES = [[32_768], [4096], [65_536, 300, 32_768], [1 << 20]];

/** Asks a tree that prepares, in as many threads, and one that does not. Returns how often it was of use. */
function compareListings(t: ExecutionContext, device: DamagedImage, threads: number, seed: number): number {
	const random = new Random(seed);
	const share = createListAheadShare();
	const prepared = Array.from({ length: threads }, (_, i) => new Client(device, share, i + 1));
	const plain = new Client(device);
	const sizes = SIZES[seed % SIZES.length]!;
	walkThrough((inodeNumber, position) => {
		const lengthBytes = random.pick(sizes);
		for (const { tree } of prepared) for (let i = random.integer(40); i > 0; i--) tree.whileSpinning();
		const reply = random.pick(prepared).list(inodeNumber, position, lengthBytes);
		const expected = plain.list(inodeNumber, position, lengthBytes);
		const isSame = Buffer.isBuffer(reply) && Buffer.isBuffer(expected) ? reply.equals(expected) : reply === expected;
		if (!isSame) t.fail(`seed ${seed}: inode ${inodeNumber}, position ${position}, ${lengthBytes} bytes: ${expected}`);
		return reply;
	}, random);
	t.is(plain.listAhead.uses, 0);
	return prepared.reduce((sum, { listAhead }) => sum + listAhead.uses, 0);
}

test('what was prepared is what would have been listed, whatever is asked for meanwhile', async (t) => {
	const device = new DamagedImage(await imageBytes(t));
	for (let seed = 1; seed <= 9; seed++) {
		const uses = compareListings(t, device, 1 + (seed % 3), seed);
		t.true(uses > 0, `seed ${seed}: of use ${uses} times`);
	}
});

test('damaged directories give the same errors at the same places', async (t) => {
	const device = new DamagedImage(await imageBytes(t));
	for (let seed = 1; seed <= 9; seed++) {
		const random = new Random(seed);
		for (const block of directoryBlocks(device)) {
			if (random.integer(8) === 0)
				device.patch(block * 1024 + random.integer(1024), 1, (bytes) =>
					bytes.writeUInt8(bytes[0]! ^ (1 + random.integer(255))),
				);
		}
		compareListings(t, device, 2, seed);
		device.reset();
	}
	t.pass();
});

/** Of all directories but the root. */
function directoryBlocks(device: DamagedImage): number[] {
	const fs = ExtFileSystem.open(device);
	const client = new Client(device);
	const blocks = new Set<number>();
	walkThrough((inodeNumber, position) => {
		const directory = fs.readInode(inodeNumber);
		for (let i = 0; i < directory.sizeBytes / 1024 && inodeNumber !== ROOT; i++)
			blocks.add(fs.files.runAt(directory, i).block);
		return client.list(inodeNumber, position, 32_768);
	}, new Random(1));
	return [...blocks].filter((block) => block !== 0);
}

test('what was prepared of a copy is not shown when that was deleted', async (t) => {
	const client = new Client(new DamagedImage(await imageBytes(t)));
	const [first, second] = contentOf(client.list(ROOT, 0, 32_768) as Buffer).directories;
	client.list(first!, 0, 32_768);
	client.prepare(100);
	client.isGone = true;
	t.is(client.list(second!, 0, 32_768), `errno ${ESTALE}`);
	client.prepare(100);
	client.isGone = false;
	t.true(Buffer.isBuffer(client.list(second!, 0, 32_768)));
	t.is(client.listAhead.uses, 1);
});

test('a thread that dies at work on it keeps the others from nothing', async (t) => {
	const device = new DamagedImage(await imageBytes(t));
	const share = createListAheadShare();
	const [dying, other] = [new Client(device, share, 1), new Client(device, share, 2)];
	const [first, second, third] = contentOf(dying.list(ROOT, 0, 32_768) as Buffer).directories;
	dying.list(first!, 0, 32_768);
	dying.prepare(1);
	new Int32Array(share.user)[0] = 1;
	t.deepEqual(other.list(second!, 0, 32_768), new Client(device).list(second!, 0, 32_768));
	t.is(other.listAhead.uses, 0);
	releaseListAhead(share, 2);
	t.is(new Int32Array(share.user)[0], 1);
	releaseListAhead(share, 1);
	for (const inodeNumber of [ROOT, first!, second!]) {
		other.list(inodeNumber, 0, 32_768);
		other.prepare(100);
	}
	other.list(third!, 0, 32_768);
	t.true(other.listAhead.uses > 0);
});
