#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What `make install` installs: the unit of systemd(1) is right, and its commands do what it is for, on a bpffs of their own.
. "$(dirname "$0")/../harness/ktap.sh"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
ktap 4 "$dir/out"
unit=$dir/lib/systemd/system/ckpt-pin.service
command_of() { sed -n "s/^$1=//p" "$unit"; }

env -u MAKEFLAGS make -s -C "$(dirname "$0")/../.." install B="$B" SAN="$SAN" DESTDIR= PREFIX="$dir" >"$dir/out" 2>&1 &&
	[ -x "$dir/sbin/ckpt" ] && [ -s "$dir/share/man/man8/ckpt-bpf.8" ]
result $? "make install"
if command -v systemd-analyze >/dev/null; then
	systemd-analyze verify --man=no "$unit" >"$dir/out" 2>&1
	result $? "systemd takes the unit"
else
	skip "systemd takes the unit" "there is no systemd-analyze"
fi
if ! unshare -m --propagation private mount -t bpf bpf /sys/fs/bpf 2>/dev/null; then
	skip "ExecStart pins the programs" "needs root, a mount namespace and a bpffs"
	skip "ExecStop takes them away" "needs root, a mount namespace and a bpffs"
	exit $failed
fi
export dir
start=$(command_of ExecStart) stop=$(command_of ExecStop)
told=$(unshare -m --propagation private sh -c "mount -t bpf bpf /sys/fs/bpf && $start >&2 && \"\$dir/sbin/ckpt\" bpf status &&
	echo -- && $stop >&2 && \"\$dir/sbin/ckpt\" bpf status" 2>"$dir/out")
echo "$told" >>"$dir/out"
echo "$told" | sed '/^--$/,$d' | grep -q ' pinned$'
result $? "ExecStart pins the programs"
echo "$told" | sed '1,/^--$/d' | grep -q . && ! echo "$told" | sed '1,/^--$/d' | grep -q ' pinned$'
result $? "ExecStop takes them away"
exit $failed
