/**
 * `make bench-garbage`: how often V8 collects garbage in the service's threads, and for how long it stops them, while a
 * shadow copy is read. The service runs under `--trace-gc`, which tells of each collection and of the isolate (one for
 * each thread) that it was in. A thread that collected nothing has no line.
 */
import { openSync, readFileSync } from 'node:fs';
import { dropCaches } from './compare.ts';
import { buildImage, FULL, QUICK } from './fixture.ts';
import { createCopy, MAIN } from './peers.ts';
import { tableLine } from './report.ts';
import { isMounted, startServer, unmount } from './servers.ts';
import { settingsOf } from './settings.ts';
import { fio, seconds } from './works.ts';
import { inWorkshop, type Workshop } from './workshop.ts';

const { quick } = settingsOf(process.env);
const sizes = { ...(quick ? QUICK : FULL), hugeDirectoryFiles: 0 };
const randomReads = quick ? 5000 : 100_000;

const script = (text: string) => (root: string) => seconds(text, [root]);
const WORKS: Readonly<Record<string, (root: string) => Promise<unknown>>> = {
	[`find with stat over ${sizes.files} files`]: script(`find "$1/tree" -printf '%s %T@ %i\\n' > /dev/null`),
	[`cat of ${sizes.files} files of 4 KiB`]: script('find "$1/tree" -type f -print0 | xargs -0 cat > /dev/null'),
	[`dd of ${sizes.bigFileMib} MiB`]: script('dd if="$1/big" of=/dev/null bs=1M status=none'),
	[`${randomReads} random reads of 4 KiB`]: (root) =>
		fio('read', [
			...[`--filename=${root}/big`, '--readonly', '--rw=randread', '--bs=4k', '--ioengine=psync'],
			`--number_ios=${randomReads}`,
		]),
};

/** `[PID:ISOLATE] 300 ms: Scavenge 5.2 (6.0) -> 4.1 (7.0) MB, 1.2 / 0.0 ms …`: its first time is that of the whole pause. */
const COLLECTION = /^\[\d+:(0x[0-9a-f]+)\].* ms: (Scavenge|Mark-Compact).* MB, ([\d.]+) \/ /;

interface Collections {
	readonly scavengesMs: number[];
	readonly markCompactsMs: number[];
}

/** By isolate. */
function collectionsIn(trace: string): Map<string, Collections> {
	const found = new Map<string, Collections>();
	for (const line of trace.split('\n')) {
		const [, isolate, kind, pauseMs] = COLLECTION.exec(line) ?? [];
		if (isolate === undefined) continue;
		const of = found.get(isolate) ?? { scavengesMs: [], markCompactsMs: [] };
		found.set(isolate, of);
		(kind === 'Scavenge' ? of.scavengesMs : of.markCompactsMs).push(Number(pauseMs));
	}
	return found;
}

const cells = (pausesMs: readonly number[]) => [
	String(pausesMs.length),
	pausesMs.reduce((sum, ms) => sum + ms, 0).toFixed(1),
	Math.max(0, ...pausesMs).toFixed(1),
];

/** Mounts an image with a service that tells of its collections; returns a copy's directory, and where it tells them. */
async function mountTraced(workshop: Workshop, image: string): Promise<{ root: string; tracePath: string }> {
	const [mountPoint, tracePath] = [workshop.emptyDirectory('previous'), workshop.path('trace')];
	const args = ['--trace-gc', MAIN, 'mount', image, mountPoint, '--max-size', 'unbounded', '--foreground'];
	const server = await startServer(process.execPath, args, () => isMounted(mountPoint), openSync(tracePath, 'w'));
	workshop.atEnd(async () => {
		await unmount(mountPoint);
		await server.stop();
	});
	return { root: await createCopy({ image }), tracePath };
}

await inWorkshop(async (workshop) => {
	const image = workshop.path('disk.img');
	await buildImage(workshop, image, sizes);
	const { root, tracePath } = await mountTraced(workshop, image);
	const HEAD = ['work', 'isolate', 'scavenges', 'ms', 'longest', 'mark-compacts', 'ms', 'longest'];
	process.stdout.write([HEAD, HEAD.map(() => '---')].map(tableLine).join(''));
	for (const [name, measure] of Object.entries(WORKS)) {
		await dropCaches();
		const before = readFileSync(tracePath, 'utf8').length;
		await measure(root);
		const found = collectionsIn(readFileSync(tracePath, 'utf8').slice(before));
		if (found.size === 0) process.stdout.write(tableLine([name, 'none', ...cells([]), ...cells([])]));
		for (const [isolate, of] of found)
			process.stdout.write(tableLine([name, isolate, ...cells(of.scavengesMs), ...cells(of.markCompactsMs)]));
	}
});
