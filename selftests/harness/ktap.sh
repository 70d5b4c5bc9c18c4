# SPDX-License-Identifier: LGPL-2.1-or-later
# For tests that are scripts: the plan, and one line of KTAP per result. Ends with `exit $failed`.
ktap() { # count, and the file with what the last command said
	printf 'KTAP version 1\n1..%d\n' "$1"
	said=$2 n=0 failed=0
}
result() { # status name
	n=$((n + 1))
	[ "$1" = 0 ] && echo "ok $n $2" && return
	echo "not ok $n $2"
	sed 's/^/# /' "$said"
	failed=1
}
skip() { # name reason
	n=$((n + 1))
	echo "ok $n $1 # SKIP $2"
}
