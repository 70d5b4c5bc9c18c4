#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run_kselftest.sh [-l] [-t GROUP/TEST[:NAME,NAME]]...   runs the installed tests, or only these, and prints KTAP; -l lists
# them. Exit status: 0, 1 after a failure, 4 when all were skipped.
case $0 in */*) cd "${0%/*}" || exit 1 ;; esac
[ "$1" = -l ] && exec sed 's/^selftests.//' tests
CKPT=$PWD/ckpt B=$PWD
export CKPT B
chosen=
while [ "$1" = -t ] && [ "$2" ]; do
	chosen="$chosen selftests/$2"
	shift 2
done
[ $# = 0 ] || { sed -n '3,4s/^# //p' "$0" >&2; exit 2; }
exec selftests/run -k ${chosen:-$(cat tests)}
