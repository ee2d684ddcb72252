#!/usr/bin/env node
/**
 * mount.fuse.noonmark: what mount(8) runs for the type `fuse.noonmark`, from the command line or /etc/fstab:
 *
 *     mount.fuse.noonmark IMAGE MOUNTPOINT [-fnsv] [-o OPTION[=VALUE],…] [-t TYPE]
 *
 * The type is not `noonmark`: mount(8) reads `-t no…` as any type but that, and would mount the image itself.
 * An option is one of `noonmark mount`, with underscores; `ro` is --read-only. Exit codes are mount(8)'s.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../src/errors.ts';
import { checkPrivilege } from '../src/service/mount-plan.ts';
import { FLAGS, startInBackground } from './commands/mount.ts';
import { complain } from './output.ts';

const EXIT_INVOCATION = 1;
const EXIT_MOUNT_FAILED = 32;

/** Options for mount(8) and systemd, and those that hold in any case. */
const FOR_OTHERS =
	/^(defaults|rw|(no)?(auto|user|users|group|owner|fail|suid|dev|exec|atime|diratime)|(a)?sync|_netdev|(rel|strict|lazy)atime|lazytime|user=.*|comment=.*|x-.*|X-.*|)$/;

class InvocationError extends Error {}

/** Translates the options of mount(8) into flags of `noonmark mount`. Unknown ones are left out where `sloppy`. */
function flagsOf(options: string, sloppy: boolean): string[] {
	return options.split(',').flatMap((option) => {
		if (FOR_OTHERS.test(option)) return [];
		const [, name, value] = /^([^=]*)(?:=(.*))?$/s.exec(option === 'ro' ? 'read_only' : option)!;
		const flag = name!.replaceAll('_', '-');
		const positive = flag.replace(/^no-/, '');
		const key = positive.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
		const type =
			key in FLAGS && !['json', 'foreground'].includes(key) ? FLAGS[key as keyof typeof FLAGS].type : undefined;
		if ((type === 'string' || type === 'number') && value && flag === positive) return [`--${flag}=${value}`];
		if (type === 'boolean' && value === undefined) return [`--${flag}`];
		if (sloppy) return [];
		throw new InvocationError(`${option}: ${type ? 'the option is not used so' : 'there is no such option'}`);
	});
}

function parseInvocation() {
	const switches = { type: 'boolean', default: false } as const;
	try {
		return parseArgs({
			allowPositionals: true,
			options: {
				fake: { ...switches, short: 'f' },
				'no-mtab': { ...switches, short: 'n' },
				sloppy: { ...switches, short: 's' },
				verbose: { ...switches, short: 'v' },
				options: { type: 'string', short: 'o', multiple: true, default: [] },
				type: { type: 'string', short: 't' },
			},
		});
	} catch (error) {
		throw new InvocationError(messageOf(error));
	}
}

async function main(): Promise<void> {
	const { positionals, values } = parseInvocation();
	const [image, mountpoint, ...others] = positionals;
	if (image === undefined || mountpoint === undefined || others.length > 0) {
		throw new InvocationError('usage: mount.fuse.noonmark IMAGE MOUNTPOINT [-o OPTIONS]');
	}
	const flags = flagsOf(values.options.join(','), values.sloppy);
	if (values.fake) return;
	checkPrivilege({ readOnly: false, data: undefined, live: undefined });
	await startInBackground(image, [image, mountpoint, ...flags]);
}

try {
	await main();
} catch (error) {
	complain(messageOf(error), 'mount.fuse.noonmark');
	process.exitCode = error instanceof InvocationError ? EXIT_INVOCATION : EXIT_MOUNT_FAILED;
}
