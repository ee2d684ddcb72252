import { runOk } from '../helpers/run.ts';

const READ = `
import hashlib, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
digest = hashlib.sha256()
while part := os.read(fd, 1 << 20): digest.update(part)
print(digest.hexdigest())
`;

/** The SHA-256 of what the device under a file has: pages that are cached and clean are let go first. */
export const sha256OfFile = async (path: string): Promise<string> =>
	(await runOk('python3', ['-c', READ, path])).toString().trim();
