/**
 * `make bench-storage`: what a live device costs whoever writes to it: without shadow copies, with a fresh one, and with
 * a hundred; beside qemu-storage-daemon's copy-before-write and a loop device on a plain file. In one run, in turns; only
 * the ratios say something. Caches are left as they are: what is overwritten was mostly used before. The last column has the bytes in the diff area for each byte that reached the disk.
 */
import { type Comparison, compare } from './compare.ts';
import { missingPeers } from './peers.ts';
import { printIntroduction, tableRows, writeReport } from './report.ts';
import { settingsOf } from './settings.ts';
import { mountDevices } from './storage-devices.ts';
import { fillForStorage, packSourceTree, storageWorks } from './storage-works.ts';
import { inWorkshop } from './workshop.ts';

const settings = settingsOf(process.env);
const [sizes, copies] = settings.quick
	? [{ fioSeconds: 1, appendMib: 64 }, 5]
	: [{ fioSeconds: 4, appendMib: 256 }, 100];

await inWorkshop(async (workshop) => {
	printIntroduction(settings.repetitions, missingPeers(/^qemu/));
	const archive = workshop.path('source.tar');
	const works = storageWorks(sizes, archive, await packSourceTree(archive));
	const devices = await mountDevices(workshop, copies, fillForStorage);
	const comparisons: Comparison[] = [];
	for (const work of works.filter(({ name }) => settings.only.test(name))) {
		comparisons.push(await compare('writing', work, devices, { repetitions: settings.repetitions }));
		process.stdout.write(tableRows(comparisons.at(-1)!));
	}
	for (const path of writeReport(settings.output, 'storage', comparisons)) process.stdout.write(`${path}\n`);
});
