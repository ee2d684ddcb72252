import type { ExtFileSystem } from '../../../src/ext/filesystem.ts';
import { inodeAt } from '../../helpers/tree.ts';
import { isContained, it, type Scene } from './scene.ts';

const IN_BLOCK = 'attributes/in-block';
const listXattrs = (fs: ExtFileSystem) => fs.listXattrs(inodeAt(fs, IN_BLOCK));
const harmXattr = (at: number, value: number, size: 1 | 2 | 4) => (scene: Scene) =>
	scene.patchBlock(scene.inode.xattrBlock, (bytes) => void bytes.writeUIntLE(value, at, size));
it('an xattr value among the entries', isContained, IN_BLOCK, 'xattr', harmXattr(34, 32, 2), listXattrs);
it('an xattr value past the block', isContained, IN_BLOCK, 'xattr', harmXattr(34, 1020, 2), listXattrs);
it('an xattr value of 4 GiB', isContained, IN_BLOCK, 'xattr', harmXattr(40, 0xffffffff, 4), listXattrs);
it('an xattr block without its magic number', isContained, IN_BLOCK, 'xattr-header', harmXattr(0, 0, 4), listXattrs);
it('an xattr block of two blocks', isContained, IN_BLOCK, 'xattr-header', harmXattr(8, 2, 4), listXattrs);
it(
	'an xattr whose name runs past the inode',
	isContained,
	'attributes/in-inode',
	'xattr',
	({ inode, patchInode }) => patchInode((r) => r.writeUInt8(255, inode.xattrsAt + 4)),
	(fs) => fs.listXattrs(inodeAt(fs, 'attributes/in-inode')),
);
it(
	'an xattr whose value is the inode that it belongs to',
	isContained,
	IN_BLOCK,
	'xattr-inode',
	(scene) => {
		scene.patchInode((r) => r.writeUInt32LE(0x200000, 0x20));
		harmXattr(36, scene.inode.number, 4)(scene);
	},
	(fs) => {
		const inode = inodeAt(fs, IN_BLOCK);
		return fs.listXattrs(inode).map((name) => fs.getXattr(inode, name));
	},
);
it('an xattr value in an inode that is none', isContained, IN_BLOCK, 'xattr-inode', harmXattr(36, 12, 4), (fs) => {
	const inode = inodeAt(fs, IN_BLOCK);
	return fs.listXattrs(inode).map((name) => fs.getXattr(inode, name));
});

it(
	'an ACL with a tag that is none',
	isContained,
	'attributes/acl',
	'acl',
	({ patchInode }) => patchInode((r) => r.writeUInt16LE(0x40, r.indexOf('0100000001000600', 0, 'hex') + 4)),
	(fs) => fs.getXattr(inodeAt(fs, 'attributes/acl'), Buffer.from('system.posix_acl_access')),
);
