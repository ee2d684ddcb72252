import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { serveMount } from '../helpers/fuse-mount.ts';
import { Random } from '../helpers/random.ts';
import { canMount } from '../helpers/requires.ts';
import { run, runOk, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const test = canMount ? anyTest : anyTest.skip;

function serveLive(t: ExecutionContext, sizeBytes: number, readOnly = false) {
	const directory = temporaryDirectory(t);
	const image = join(directory, 'image');
	const live = join(directory, 'live device'); // A space, to be escaped in mountinfo.
	writeFileSync(image, '');
	truncateSync(image, sizeBytes);
	writeFileSync(live, '');
	const mount = serveMount(t, {
		mountPoint: live,
		root: 'file',
		source: image,
		readOnly: false,
		allowOther: true,
		handlerModule: new URL('./live-file-server.js', import.meta.url).href,
		handlerData: { path: image, readOnly },
	});
	return { ...mount, image, live, directory };
}

/** Applies a list of writes to a file, all through one descriptor, from a process of its own. */
const WRITER = `
import json, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for at, text in json.load(sys.stdin):
    data = bytes.fromhex(text)
    assert os.pwrite(fd, data, at) == len(data)
    assert os.pread(fd, len(data), at) == data
os.fsync(fd)
`;

test('random writes and reads at any offset and length reach the store', async (t) => {
	const random = new Random(20261124);
	t.log(`seed ${random.seed}`);
	const { live, image } = serveLive(t, (1 << 20) + 777);
	const model = Buffer.alloc((1 << 20) + 777);
	const writes: [number, string][] = [];
	for (let i = 0; i < 200; i++) {
		const data = random.bytes(1 + random.integer(i % 20 === 0 ? 200_000 : 9000));
		const byteOffset = random.integer(model.length - data.length);
		data.copy(model, byteOffset);
		writes.push([byteOffset, data.toString('hex')]);
	}
	await runOk('python3', ['-c', WRITER, live], { input: JSON.stringify(writes) });
	t.true(readFileSync(image).equals(model));
	t.true((await runOk('cat', [live])).equals(model));
	t.true((await runOk('dd', [`if=${live}`, 'bs=4097', 'status=none'])).equals(model));
});

test('a memory map reads and writes the store', async (t) => {
	const { live, image } = serveLive(t, 1 << 20);
	const script = `
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
with mmap.mmap(fd, 0) as m:
    m[70000:70005] = b'shade'
    m.flush()
    os.pwrite(fd, b'light', 80000)
    print(m[80000:80005].decode())
`;
	t.is((await runOk('python3', ['-c', script, live])).toString(), 'light\n');
	t.is(readFileSync(image).toString('latin1', 70000, 70005), 'shade');
});

test('its size is fixed: no write past the end, no truncation', async (t) => {
	const { live, image } = serveLive(t, 8192);
	const past = await run('dd', ['if=/dev/zero', `of=${live}`, 'bs=4096', 'count=3', 'conv=notrunc']);
	t.regex(past.stderr, /No space left on device/);
	t.regex((await run('truncate', ['-s', '4096', live])).stderr, /Operation not permitted/);
	t.regex((await run('chown', ['65534', live])).stderr, /Operation not permitted/);
	await runOk('chmod', ['0600', live]);
	await runOk('touch', ['-d', '2020-02-02 02:02:02.123456789Z', live]);
	const stat = await runOk('stat', ['-c', '%s %a %.9Y', live]);
	t.is(stat.toString(), '8192 600 1580608922.123456789\n');
	t.is(readFileSync(image).length, 8192);
});

test('punching and zeroing ranges read as zeros, and punching gives space back', async (t) => {
	const { live, image } = serveLive(t, 1 << 20);
	await shell('head -c 1048576 /dev/urandom > "$2"; fallocate -p -o 65536 -l 131072 "$1"', [live, image]);
	await runOk('fallocate', ['-z', '-n', '-o', '524289', '-l', '1000', live]);
	const model = readFileSync(image);
	t.true(model.subarray(65536, 65536 + 131072).every((byte) => byte === 0));
	t.true(model.subarray(524289, 525289).every((byte) => byte === 0));
	t.not(model[524288 - 1]! + model[525289]!, 0);
	t.true((await runOk('cat', [live])).equals(model));
	const allocated = Number(await runOk('stat', ['-c', '%b', image])) * 512;
	t.true(allocated <= (1 << 20) - 131072, `${allocated} bytes allocated`);
	t.regex((await run('fallocate', ['-l', '4096', live])).stderr, /not supported/i);
});

for (const directIo of ['off', 'on']) {
	test(`a loop device with direct-io ${directIo} carries ext4 with discard, and e2fsck finds it clean`, async (t) => {
		const { live, image, directory } = serveLive(t, 64 << 20);
		const point = join(directory, 'mnt');
		const script = `
loop=$(losetup --find --show --direct-io=$3 "$1")
trap 'umount "$2" 2>/dev/null || true; losetup -d "$loop"' EXIT
mke2fs -q -t ext4 "$loop"
mkdir "$2"; mount -o discard "$loop" "$2"
cp -a /usr/share/zoneinfo "$2" 2>/dev/null || cp -a /etc "$2"
head -c 9000000 /dev/urandom > "$2/big"; sync -f "$2"; rm "$2/big"; fstrim "$2"
(cd "$2" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
umount "$2"; e2fsck -fn "$loop" >&2
`;
		const sums = await shell(script, [live, point, directIo]);
		t.true(sums.length > 1000);
		await runOk('e2fsck', ['-fn', image]);
		const again = `mount -o loop,ro "$1" "$2"; trap 'umount "$2"' EXIT
(cd "$2" && find . -type f -print0 | sort -z | xargs -0 sha256sum)`;
		t.true((await shell(again, [image, point])).equals(sums));
	});
}

test('a read-only store refuses writes with EROFS and is read all the same', async (t) => {
	const { live, image } = serveLive(t, 8192, true);
	const write = await run('dd', ['if=/dev/zero', `of=${live}`, 'bs=512', 'count=1', 'conv=notrunc']);
	t.regex(write.stderr, /Read-only file system/);
	t.regex((await run('fallocate', ['-p', '-o', '0', '-l', '4096', live])).stderr, /Read-only file system/);
	t.true((await runOk('cat', [live])).equals(readFileSync(image)));
});
