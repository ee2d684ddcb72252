/** An image as an ordinary user looks at it. Everything that the user does runs as that user. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import type { ShadowCopyReport, VolumeEvent, VolumeReport } from '../../src/control/messages.ts';
import { canMount, programs } from '../helpers/requires.ts';
import { run, shell } from '../helpers/run.ts';
import { temporaryDirectory } from '../helpers/temp.ts';
import { eventually, noonmark, TestVolume } from '../helpers/volume.ts';

const canRun = canMount && programs('mke2fs', 'setpriv', 'setfacl', 'fusermount3');
const test = canRun ? anyTest.serial : anyTest.serial.skip;
const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'main.js');

/** `nobody`: fusermount3 asks for the user's name. */
const USER = 65534;
const AS_USER = [`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'];

/** udev lets everybody open it; where there is no udev, this user gets to, until the tests end. */
function letUserOpenFuse(): void {
	if ((statSync('/dev/fuse').mode & 0o006) !== 0o006) setFuseAcl('--modify', `u:${USER}:rw`);
}

const setFuseAcl = (...args: string[]) => execFileSync('setfacl', [...args, '/dev/fuse'], { timeout: 10_000 });

if (canRun) anyTest.after.always(() => setFuseAcl('--remove', `u:${USER},m`));

class User {
	readonly mountpoint: string;
	readonly #env: NodeJS.ProcessEnv;

	constructor(t: ExecutionContext) {
		letUserOpenFuse();
		const home = temporaryDirectory(t);
		chownSync(home, USER, USER);
		this.mountpoint = join(home, 'browse');
		mkdirSync(this.mountpoint);
		chownSync(this.mountpoint, USER, USER);
		this.#env = { ...process.env, HOME: home, XDG_RUNTIME_DIR: home };
		t.teardown(async () => {
			await this.noonmark('unmount', this.mountpoint);
			await run('umount', ['--lazy', this.mountpoint]);
		});
	}

	run(command: string, ...args: string[]) {
		return run('setpriv', [...AS_USER, command, ...args], { env: this.#env });
	}

	noonmark(...args: string[]) {
		return this.run(process.execPath, MAIN, ...args);
	}

	async json<T>(...args: string[]): Promise<T> {
		const { code, stdout, stderr } = await this.noonmark(...args, '--json');
		if (code !== 0) throw new Error(`${args.join(' ')}: exit ${code}: ${stderr}`);
		return JSON.parse(stdout.toString()) as T;
	}

	async read(...path: string[]): Promise<string> {
		const { code, stdout, stderr } = await this.run('cat', join(this.mountpoint, ...path));
		return code === 0 ? stdout.toString() : stderr;
	}

	async list(): Promise<string[]> {
		return (await this.run('ls', this.mountpoint)).stdout.toString().trim().split('\n');
	}
}

/** A volume with one copy; the user may read image and storage, but not write to them. */
async function volumeWithCopy(t: ExecutionContext) {
	const volume = new TestVolume(t);
	await volume.mount();
	await shell('echo one > "$1/file"; echo secret > "$1/secret"; chmod 600 "$1/secret"', [volume.data]);
	const copy = await volume.create();
	await shell('echo two > "$1/file"', [volume.data]);
	await noonmark(['unmount', volume.image]);
	await shell('chmod 755 "$1" "$2"; chmod 644 "$2"/* "$3"', [volume.directory, volume.storage, volume.image]);
	return { volume, copy };
}

const isMounted = (mountpoint: string) => readFileSync('/proc/self/mounts', 'utf8').includes(` ${mountpoint} `);

test('without a storage: the volume as it is, and nothing else', async (t) => {
	const user = new User(t);
	const directory = temporaryDirectory(t);
	const image = join(directory, 'image');
	const make = 'chmod 755 "$1"; mkdir -p "$1/tree/sub"; seq 100000 > "$1/tree/sub/numbers"; ln -s sub "$1/tree/link"';
	await shell(make, [directory]);
	await shell('truncate -s 16M "$2"; mke2fs -q -t ext4 -d "$1/tree" "$2"; chmod 644 "$2"', [directory, image]);
	const { volumes } = await user.json<{ volumes: VolumeReport[] }>('mount', '--read-only', image, user.mountpoint);
	t.like(volumes[0], {
		image,
		mountpoint: user.mountpoint,
		live: null,
		data: null,
		readOnly: true,
		shadowCopyCount: 0,
	});
	t.deepEqual(await user.list(), ['volume']);
	const tree = join(user.mountpoint, 'volume');
	const compared = await user.run(
		'diff',
		'-r',
		'--no-dereference',
		'--exclude=lost+found',
		join(directory, 'tree'),
		tree,
	);
	t.deepEqual([compared.code, compared.stdout.toString(), compared.stderr], [0, '', '']);
	t.not((await user.run('touch', join(tree, 'new'))).code, 0);
	t.is((await user.noonmark('create', image)).code, 4);
	t.is((await user.noonmark('delete', image, '--all')).code, 4);
	t.is((await user.noonmark('unmount', user.mountpoint)).code, 0);
	t.false(isMounted(user.mountpoint));
	t.is((await user.noonmark('status', image)).code, 3);
	t.false(existsSync(`${image}.noonmark`));
});

test('with a storage: its copies and the volume as it is; neither image nor storage is changed', async (t) => {
	const { volume, copy } = await volumeWithCopy(t);
	const user = new User(t);
	const digests = () =>
		shell('cd "$1"; find . -type f -print0 | sort -z | xargs -0 sha256sum', [volume.directory]).then(String);
	const before = await digests();
	t.is((await user.noonmark('mount', '--read-only', volume.image, user.mountpoint)).code, 0);
	t.deepEqual(await user.list(), [copy.name, 'volume']);
	t.is(await user.read(copy.name, 'file'), 'one\n');
	t.is(await user.read('volume', 'file'), 'two\n');
	t.regex(await user.read(copy.name, 'secret'), /Permission denied/);
	const { shadowCopies } = await user.json<{ shadowCopies: ShadowCopyReport[] }>('list', 'shadows');
	const { id, setId, name, createdAt } = copy;
	t.like(shadowCopies, [{ id, setId, name, createdAt, path: join(user.mountpoint, name) }]);
	t.not((await run('ls', [user.mountpoint])).code, 0, 'it is for this user alone');
	const refusal = await noonmark(['mount', volume.image, volume.mountpoint]);
	t.is(refusal.code, 4, refusal.stderr);
	t.regex(refusal.stderr, /in use by another process/);
	t.is((await user.noonmark('unmount', volume.image)).code, 0);
	t.is(await digests(), before);
});

test('what of a storage the user may not read is told, and the volume is shown; --storage insists', async (t) => {
	const { volume, copy } = await volumeWithCopy(t);
	const user = new User(t);
	const mount = ['mount', '--read-only', volume.image, user.mountpoint];
	chmodSync(join(volume.storage, 'epoch-00000001.segment'), 0o600);
	t.is((await user.noonmark(...mount)).code, 0);
	t.deepEqual(await user.list(), ['volume']);
	const { shadowCopies } = await user.json<{ shadowCopies: ShadowCopyReport[] }>('list', 'shadows');
	t.like(shadowCopies, [{ name: copy.name, state: 'unreadable' }]);
	t.regex(shadowCopies[0]!.fault!, /EACCES: permission denied.*epoch-00000001\.segment/);
	t.is((await user.noonmark('unmount', volume.image)).code, 0);

	chmodSync(volume.storage, 0o700);
	t.is((await user.noonmark(...mount, '--storage', volume.storage)).code, 3);
	t.is((await user.noonmark(...mount)).code, 0);
	t.deepEqual(await user.list(), ['volume']);
	const { events } = await user.json<{ events: VolumeEvent[] }>('events', user.mountpoint);
	t.like(events, [{ kind: 'storage-unreadable', fault: 'EACCES' }]);
});

test('an image that root has mounted is refused, and so is what only root may do', async (t) => {
	const { volume } = await volumeWithCopy(t);
	const user = new User(t);
	await volume.mount();
	const attempt = async (...options: string[]) => {
		const { code, stderr } = await user.noonmark('mount', volume.image, user.mountpoint, ...options);
		t.is(code, 4);
		return stderr;
	};
	t.regex(await attempt('--read-only'), /in use by/);
	t.regex(await attempt('--read-only', '--data', user.mountpoint), /needs root.*sudo/);
	t.regex(await attempt(), /needs root.*sudo/);
	const unknown = await user.noonmark('status', volume.image);
	t.is(unknown.code, 3);
	t.regex(unknown.stderr, /by you; what root mounted only root manages/);
});

test('kill -9: the next mount of this user clears away what is left', async (t) => {
	const { volume } = await volumeWithCopy(t);
	const user = new User(t);
	const mount = () => user.json<{ volumes: VolumeReport[] }>('mount', '--read-only', volume.image, user.mountpoint);
	const { volumes } = await mount();
	process.kill(volumes[0]!.pid, 'SIGKILL');
	await eventually('it is gone', async () => /not connected/.test(await user.read('volume', 'file')));
	await mount();
	t.is(await user.read('volume', 'file'), 'two\n');
});

test('a runtime directory that others could have prepared is not used', async (t) => {
	const user = new User(t);
	mkdirSync(join(user.mountpoint, '..', 'noonmark')); // root's
	const { code, stderr } = await user.noonmark('mount', '--read-only', '/no/such/image', user.mountpoint);
	t.is(code, 4);
	t.regex(stderr, /noonmark: is not a directory that you alone may write to/);
});
