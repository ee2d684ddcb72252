import { refused } from '../errors.ts';

/** How the kernel's requests reach the tree: our own protocol over /dev/fuse, or the npm package fuse-native. */
export const TRANSPORTS = ['direct', 'fuse-native'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** Errors: refused `acls-not-enforced`. */
export function checkTransport(transport: Transport, allowOther: boolean): void {
	if (transport !== 'fuse-native' || !allowOther) return;
	throw refused(
		'acls-not-enforced',
		'fuse-native tells the kernel nothing of ACLs, so others would see what they must not: leave --allow-other or --transport away',
	);
}
