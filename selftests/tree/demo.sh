#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `make demo` does what it shows; in a pid namespace of its own.
printf 'KTAP version 1\n1..1\n'
if ! unshare -pfm true 2>/dev/null; then
	echo "ok 1 demo # SKIP needs root and namespaces"
	exit 4
fi
if output=$(timeout 300 unshare -pfm --mount-proc --kill-child "$(dirname "$0")/../../tools/demo" 2>&1); then
	echo "ok 1 demo"
else
	echo "$output" | sed 's/^/# /'
	echo "not ok 1 demo"
	exit 1
fi
