/**
 * `make bench`: the files of a shadow copy beside the same files through the kernel's own driver, fuse2fs,
 * qemu-storage-daemon, nbdkit and fuse-native, on the same image, in one run, in turns. Nothing here is a test: figures
 * depend on the machine, and only their ratios say something.
 *
 * All caches are dropped before each measurement; "warm" is measured right after the same work was done once.
 */
import { shell } from '../helpers/run.ts';
import { type Comparison, compare, dropCaches, type Subject, type Work } from './compare.ts';
import { buildImage, FULL, QUICK, rewriteChunks } from './fixture.ts';
import { createCopy, missingPeers, mountKernel, mountPeers, mountVolume } from './peers.ts';
import { printIntroduction, tableRows, writeReport } from './report.ts';
import { settingsOf } from './settings.ts';
import { browseWorks, fillFioFile, writeSteadily } from './works.ts';
import { inWorkshop, type Workshop } from './workshop.ts';

const settings = settingsOf(process.env);
const sizes = settings.quick ? QUICK : FULL;
const UNDER_WRITES = /^(find with stat, 200|cat|dd of one large file$|random)/;
const comparisons: Comparison[] = [];

await inWorkshop(async (workshop) => {
	const image = workshop.path('disk.img');
	await buildImage(workshop, image, sizes);
	printIntroduction(settings.repetitions, missingPeers(/./));
	await benchReading(workshop, image);
	await benchUnderWrites(workshop, image);
	for (const path of writeReport(settings.output, 'browse', comparisons)) process.stdout.write(`${path}\n`);
});

/** The image does not change here, so one mount of each peer serves all states; most are measured in the first one only. */
async function benchReading(workshop: Workshop, image: string): Promise<void> {
	const volume = await mountVolume(workshop, image, { withData: false });
	const peers = await mountPeers(workshop, image);
	const kernel = peers.at(-1)!;
	const works = browseWorks(sizes, Number(await shell('find "$1/source" | wc -l', [kernel.root])));
	const copy = async (): Promise<Subject> => ({ name: 'Noonmark', root: await createCopy(volume), pids: [volume.pid] });

	await measure('nothing changed since', works, [await copy(), ...peers]);

	if (isWanted('30 % preserved', works)) {
		const changed = await copy();
		await rewriteChunks(volume.live, image, 0.3, 1);
		await measure('30 % preserved', works, [changed, kernel]);
	}

	const state = `oldest of ${sizes.copies}`;
	if (!isWanted(state, works)) return;
	const oldest = await copy();
	for (let i = 1; i < sizes.copies; i++) {
		await rewriteChunks(volume.live, image, 0.3 / sizes.copies, i);
		await createCopy(volume);
	}
	await measure(state, works, [oldest, kernel]);
}

/** The kernel has no copy to show: there the files are read from the very file system that is written. */
async function benchUnderWrites(workshop: Workshop, image: string): Promise<void> {
	const works = browseWorks(sizes, 1).filter(({ name }) => UNDER_WRITES.test(name));
	if (!isWanted('while fio writes', works)) return;
	const [busy, plain] = [workshop.path('busy.img'), workshop.path('plain.img')];
	await shell('cp --sparse=always "$1" "$2"; cp --sparse=always "$1" "$3"', [image, busy, plain], {
		timeoutMs: 300_000,
	});
	const volume = await mountVolume(workshop, busy, { withData: true });
	const kernel = await mountKernel(workshop, plain, 'plain', 'rw');
	for (const directory of [volume.data, kernel.root]) await fillFioFile(directory);
	const copy = await createCopy(volume);
	await measure('while fio writes', works, [
		{ name: 'Noonmark', root: copy, pids: [volume.pid], load: () => writeSteadily(volume.data) },
		{ ...kernel, load: () => writeSteadily(kernel.root) },
	]);
}

/** Whether it is worth the time to bring the volume into a state. */
function isWanted(state: string, works: readonly Work[]): boolean {
	return works.some(({ name }) => settings.only.test(`${state}: ${name}`));
}

async function measure(state: string, works: readonly Work[], subjects: readonly Subject[]): Promise<void> {
	for (const work of works) {
		if (!settings.only.test(`${state}: ${work.name}`)) continue;
		const comparison = await compare(state, work, subjects, { repetitions: settings.repetitions, dropCaches });
		process.stdout.write(tableRows(comparison));
		comparisons.push(comparison);
	}
}
