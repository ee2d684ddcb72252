import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What takes things down at the end: a test. */
export interface TeardownContext {
	teardown(action: () => void): void;
}

/** A fresh directory that the test's end removes. */
export function temporaryDirectory(t: TeardownContext): string {
	const path = mkdtempSync(join(tmpdir(), 'noonmark-test-'));
	t.teardown(() => rmSync(path, { recursive: true, force: true, maxRetries: 3 }));
	return path;
}
