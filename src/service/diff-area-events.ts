import type { DiffAreaEvent } from '../diff/diff-area-types.ts';
import type { ShadowCopy } from '../shadow/shadow-copy.ts';
import type { EventLog } from './event-log.ts';

/** Puts what happened in a diff area on record, in words. */
export function noteDiffAreaEvent(events: EventLog, event: DiffAreaEvent): void {
	const nameOf = (label: unknown) => (label as ShadowCopy).name;
	switch (event.kind) {
		case 'copy-evicted': {
			const why = {
				'maximum-size': 'the diff area has its maximum size',
				'no-space': 'the disk of the diff area is full',
				'index-full': 'the chunk index is full; if new ones go, too, unmount the volume and mount it again',
			}[event.reason];
			events.note(
				'copy-evicted',
				event.reason,
				`${nameOf(event.copy.label)} was deleted to make room for newer ones: ${why}`,
			);
			return;
		}
		case 'copies-lost':
			events.note(
				'copies-lost',
				event.faultName,
				`${event.copies.map(({ label }) => nameOf(label)).join(', ')} lost: ${event.fault}`,
			);
			return;
		case 'copy-unreadable':
			events.note(
				'copy-unreadable',
				event.faultName,
				`${nameOf(event.copy.label)} cannot be read: ${event.copy.fault}`,
			);
			return;
		case 'copy-readable':
			events.note('copy-readable', null, `${nameOf(event.copy.label)} can be read again`);
			return;
		case 'catalog-restored':
			events.note('catalog-restored', 'catalog-damaged', `${event.fault}; its backup was read`);
			return;
		case 'write-refused':
			events.note('write-refused', event.faultName, `writes fail, so that the shadow copies stay: ${event.fault}`);
			return;
		case 'storage-unwritable':
			events.note('storage-unwritable', event.faultName, event.fault);
			return;
	}
}
