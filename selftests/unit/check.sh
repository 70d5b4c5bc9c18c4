#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `ckpt check` and `ckpt explain` as a user meets them.
out=$(mktemp) && err=$(mktemp) || exit 1
trap 'rm -f "$out" "$err"' EXIT
. "$(dirname "$0")/../harness/ktap.sh"
ktap 10 "$err"

$CKPT check --json >"$out" 2>"$err"
python3 - "$out" "$(dirname "$0")/../../user/host/caps.def" <<'EOF' 2>"$err"
import json, re, sys
report = json.load(open(sys.argv[1]))
ids = re.findall(r"^CAN\((\w+),", open(sys.argv[2]).read(), re.M)
assert [row["id"] for row in report["capabilities"]] == ids, "not every row"
for row in report["capabilities"]:
    assert row["answer"] in ("yes", "no", "unknown"), row
    assert row["answer"] != "no" or row["why"], row
    assert {"interface", "since", "config", "privilege", "lost", "do", "group", "errno", "instead"} <= set(row), row
assert report["tier"] and report["verdict"]
EOF
result $? "the JSON has every row"

$CKPT check >"$out" 2>"$err"
[ "$(grep -c '^verdict: ' "$out")" = 1 ]
result $? "one verdict line"
! grep -E '^.{101,}' "$out" >"$err"
result $? "no line is longer than 100 columns"

CKPT_DISABLE=RSEQ_CONFIG $CKPT check >"$out" 2>"$err"
grep -A6 '^  no       RSEQ_CONFIG' "$out" | grep -q 'lost: the rseq area'
result $? "a disabled row says no and what is lost"

CKPT_DISABLE=PTRACE_SEIZE $CKPT check >"$out" 2>"$err"
[ $? = 4 ] && grep -q '^verdict: .*PTRACE_SEIZE' "$out" && grep -q HOST_LACKS "$err"
result $? "what ordinary programs need is missing: exit status 4"

CKPT_DISABLE=NO_SUCH_ROW $CKPT check >"$out" 2>"$err"
[ $? = 2 ] && grep -q '"NO_SUCH_ROW"' "$err"
result $? "an unknown id is refused by name"

$CKPT explain TRACED >"$out" 2>"$err" && grep -q 'exit status: 3' "$out"
result $? "a failure is explained"
CKPT_DISABLE=KCMP $CKPT explain KCMP >"$out" 2>"$err" && grep -q 'not here: disabled by CKPT_DISABLE' "$out"
result $? "a capability is explained"
grep -q 'needed for: *dump$' "$out" && grep -q 'instead: *BPF_TASK_FILE$' "$out"
result $? "with what it is for and what serves instead of it"
$CKPT explain NO_SUCH_CODE >"$out" 2>"$err"
[ $? = 2 ] && grep -q NO_SUCH_CODE "$err"
result $? "an unknown code is refused by name"
exit $failed
