#!/bin/sh
# Installs the programs that the tests and the demo use as workloads and oracles, where they are missing (Debian, root).
# With `databases`, those of the torture's last phase, too.
set -eu
missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need mke2fs e2fsprogs
need losetup mount
need fsfreeze util-linux
need fusermount3 fuse3
need rsync rsync
need fio fio
need setfacl acl
need getfattr attr
need sfdisk fdisk
need python3 python3-minimal
if [ "${1:-}" = databases ]; then
	need sqlite3 sqlite3
	[ -d /usr/lib/postgresql ] || missing="$missing postgresql"
fi
# For tests of the optional transport: where it cannot be had, they are skipped.
optional=
/sbin/ldconfig -p | grep -q 'libfuse\.so\.2 ' || optional=libfuse2
[ -z "$missing$optional" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	[ -z "$missing" ] && exit 0
	echo "missing programs; install these packages:$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
[ -z "$missing" ] || apt-get install -y -qq --no-install-recommends $missing >/dev/null
[ -z "$optional" ] || apt-get install -y -qq --no-install-recommends "$optional" >/dev/null 2>&1 || true
