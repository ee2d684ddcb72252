import { runOk } from '../test/helpers/run.ts';

/**
 * Makes an encrypted directory `encrypted` below a mounted ext4 with the `encrypt` feature, fills it, and takes the key
 * away again. FS_IOC_ADD_ENCRYPTION_KEY and the rest: Documentation/filesystems/fscrypt.rst.
 */
export async function populateEncrypted(mountPoint: string): Promise<void> {
	await runOk('python3', ['-c', SCRIPT, mountPoint]);
}

const SCRIPT = `
import fcntl, os, struct, subprocess, sys
ADD_KEY, REMOVE_KEY, SET_POLICY = 0xc0506617, 0xc0406618, 0x800c6613
AES_256_XTS, AES_256_CTS, IDENTIFIER, PAD_32 = 1, 4, 2, 3
root = os.open(sys.argv[1], os.O_RDONLY)
key = bytes(range(64))
argument = bytearray(struct.pack('<II32sI36x', IDENTIFIER, 0, b'', len(key)) + key)
fcntl.ioctl(root, ADD_KEY, argument)
identifier = bytes(argument[8:24])
os.chdir(sys.argv[1])
os.mkdir('encrypted')
directory = os.open('encrypted', os.O_RDONLY)
fcntl.ioctl(directory, SET_POLICY, struct.pack('<BBBB4x16s', 2, AES_256_XTS, AES_256_CTS, PAD_32, identifier))
os.close(directory)
for name in ['a', 'plain name', 'x' * 60, 'y' * 200, 'z' * 255]:
    with open('encrypted/' + name, 'w') as file: file.write(name)
os.mkdir('encrypted/many')
for i in range(200): open('encrypted/many/name-%d-%s' % (i, 'n' * (i % 160)), 'w').close()
os.symlink('target', 'encrypted/symlink')
subprocess.run(['sync', '-f', '.'], check=True)
fcntl.ioctl(root, REMOVE_KEY, bytearray(struct.pack('<II32s24x', IDENTIFIER, 0, identifier)))
`;
