#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The installed tests run where they are put, with nothing of this tree: as kselftest calls them, and by their own script.
. "$(dirname "$0")/../harness/ktap.sh"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
ktap 5 "$dir/out"
plain() { (cd / && env -i PATH="$PATH" "$@") >"$dir/out" 2>&1; }
selftests=$(cd "$(dirname "$0")/.." && pwd)
there=$dir/a/ckpt

env -u MAKEFLAGS make -s -C "$selftests" install B="$B" SAN="$SAN" INSTALL_PATH="$there" >"$dir/out" 2>&1
result $? "make install"
env -u MAKEFLAGS make -s -C "$selftests" emit_tests B="$B" SAN="$SAN" COLLECTION=ckpt >"$dir/list" 2>"$dir/out" &&
	grep -q '^ckpt:selftests/tree/programs$' "$dir/list" && sed 's/^ckpt://' "$dir/list" | cmp - "$there/tests" >"$dir/out" 2>&1
result $? "the list names what is installed"
mv "$dir/a" "$dir/elsewhere" && there=$dir/elsewhere/ckpt
plain "$there/run_kselftest.sh" -t unit/graph -t tree/programs:sleeper_static_alone &&
	grep -q '^  ok 1 sleeper_static_alone' "$dir/out" && grep -q '^ok 1 unit/graph$' "$dir/out"
result $? "they run elsewhere"
plain "$there/run_kselftest.sh" -t unit/harness:skipped
[ $? = 4 ] && grep -q '^ok 1 unit/harness:skipped # SKIP because of 7$' "$dir/out"
result $? "all skipped: status 4 and a reason"
plain "$there/selftests/unit/harness" bad_value
[ $? = 1 ] && grep -q '^not ok 1 bad_value' "$dir/out"
result $? "a failure: status 1"
exit $failed
