#!/usr/bin/env bash
# Shows Noonmark at work, from an empty disk image to a restored file. Needs root; leaves nothing behind.
set -eu

if [ "$(id -u)" != 0 ]; then
	echo 'The demo mounts a volume, so it needs root: sudo make demo' >&2
	exit 1
fi

main=$(cd "$(dirname "$0")/.." && pwd)/build/cli/main.js
work=$(mktemp -d "${TMPDIR:-/tmp}/noonmark-demo.XXXXXX")
cd "$work"

bold=
plain=
if [ -t 1 ]; then
	bold=$'\033[1m'
	plain=$'\033[0m'
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
noonmark() { timeout 60 node "$main" "$@"; }

# Shows a command as a user would type it, and runs it.
run() {
	printf '$ %s\n' "$*"
	if [ "$1" = noonmark ]; then "$@" 2>&1; else timeout 60 "$@" 2>&1; fi
}

write() {
	printf "\$ echo '%s' > %s\n" "$1" "$2"
	printf '%s\n' "$1" >"$2"
}

newest_copy() { noonmark list shadows data --json | grep -o '@GMT-[0-9.-]*' | tail -n 1; }

clean_up() {
	cd /
	# Fails where the demo has unmounted by itself, or has not come so far.
	noonmark unmount "$work/disk.img" >/dev/null 2>&1 || true
	# Never deletes through a mount that would not go.
	rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

say '1. An ordinary ext4 image of 256 MiB.'
run truncate -s 256M disk.img
run mke2fs -q -t ext4 disk.img
run mkdir data previous

say '2. Mount it live: its files are in data, its shadow copies will appear in previous.'
run noonmark mount disk.img previous --data data

say '3. Write two files, and make a shadow copy.'
write 'First draft.' data/report.txt
run mkdir data/letters
write 'Dear Ada, ...' data/letters/ada.txt
run noonmark create data
first=$(newest_copy)

say '4. Change one file, delete the other, and make a second shadow copy.'
sleep 1
write 'Second draft.' data/report.txt
run rm -r data/letters
run noonmark create data
second=$(newest_copy)

say '5. Change the file once more: the two copies and the live volume each have a version of their own.'
write 'Final version.' data/report.txt
run cat "previous/$first/report.txt" "previous/$second/report.txt" data/report.txt

say '6. The deleted file is still in the first copy. Copy it back.'
run ls -l "previous/$first/letters"
run cp -a "previous/$first/letters" data/
run cat data/letters/ada.txt

say '7. Nobody can change a shadow copy.'
if run touch "previous/$first/report.txt"; then
	echo 'The shadow copy was changed.' >&2
	exit 1
fi

say '8. A shadow copy takes the space of what was overwritten since, in chunks of 4 KiB.'
run noonmark list shadows data
run noonmark list storage data

say '9. Unmount. The image is still a sound ext4 file system.'
run noonmark unmount previous
run e2fsck -fn disk.img

say 'Done. The demo deletes what it made.'
