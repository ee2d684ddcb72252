import { constants } from 'node:os';
import test from 'ava';
import { closeAll, interpose, systemError } from '../torture/file-calls.ts';
import { Rig } from './rig.ts';

for (const name of ['ENOSPC', 'EDQUOT', 'EIO'] as const) {
	test.serial(`${name} of the catalog has its name in the event`, (t) => {
		const rig = new Rig(t, { seed: 1, sizeBytes: 200_000 });
		t.teardown(() => {
			closeAll();
			interpose(rig.directory, undefined);
		});
		rig.create();
		interpose(rig.directory, (call, perform) => {
			if (call.path.includes('catalog')) throw systemError(call.kind, constants.errno[name]);
			return perform();
		});
		rig.diffArea.noteVolumeStates(['another one']);
		rig.noteEvents();
		t.like(rig.events, [{ kind: 'storage-unwritable', faultName: name }]);
	});
}
