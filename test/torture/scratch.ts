import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A fresh directory in memory where there is one: what is simulated here needs no real disk. The caller removes it. */
export const scratchDirectory = () =>
	mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'noonmark-torture-'));
