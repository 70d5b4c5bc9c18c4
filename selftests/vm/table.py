# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: table.py KTAP...: prints docs/kernels.md from what test machines have said (selftests/vm/run keeps it): kernel x architecture x
test. A row is one program or one fact; what it consists of (alone, dumped and restored, left running) is one result."""
import re
import sys

WORDS = {
    "sleeper": "a sleeping program", "sleeper_static": "the same, static glibc", "sleeper_musl": "the same, static musl",
    "clock": "clocks read by the vDSO", "clock_static": "the same, static glibc", "clock_musl": "the same, static musl",
    "threads": "100 threads", "threads_static": "20 threads, static glibc", "threads_musl": "20 threads, static musl",
    "python": "python with threads", "loop": "python with an event loop", "pty": "bash with jobs on a terminal",
    "redis": "redis", "rseq_own": "rseq areas of its own",
}
PARTS = re.compile(r"_(alone|dump_restore|leave_running)$")
LINE = re.compile(r"(not )?ok \d+ ([^ #]+)(?: # SKIP (.*))?$")


class Machine:
    def __init__(self, path):
        self.rows = {}
        parts = []
        with open(path, encoding="utf-8", errors="replace") as file:
            first = file.readline().split()
            self.about = dict(word.split("=", 1) for word in first[2:])
            for line in file:
                nested, match = line.startswith("  "), LINE.match(line.strip())
                if match and nested:
                    parts.append(match.groups())
                elif match:
                    self.take(match.group(2).split(":")[0], parts)
                    parts = []
        self.whole = not parts and bool(self.rows)

    def take(self, test, parts):
        for bad, name, skipped in parts:
            row = self.rows.setdefault((test, PARTS.sub("", name)), [])
            row.append("fail" if bad else skipped if skipped is not None else "pass")

    def cell(self, row, notes):
        results = self.rows.get(row)
        if not results:
            return "–"
        if "fail" in results:
            return "**fail**"
        if "pass" in results:
            return "pass"
        if results[0] not in notes:
            notes.append(results[0])
        return f"skip ({notes.index(results[0]) + 1})"


# "newest" comes last.
def version(series):
    return (1, ()) if series == "newest" else (0, tuple(int(n) for n in series.split(".")))


def table(machines, notes):
    rows = []
    for machine in machines:
        rows += [row for row in machine.rows if row not in rows]
    rows.sort(key=lambda row: (row[1] not in WORDS, row[0]))
    yield "| | " + " | ".join(re.sub(r"[+-].*", "", m.about["kernel"]) for m in machines) + " |"
    yield "|---" * (len(machines) + 1) + "|"
    for test, name in rows:
        what = WORDS.get(name, name.replace("_", " "))
        yield f"| {what} (`{test}`) | " + " | ".join(m.cell((test, name), notes) for m in machines) + " |"


def main():
    machines = [m for m in map(Machine, sys.argv[1:]) if m.whole and m.about["user"] != "build"]
    print("""# Kernels

What was tried in test machines (QEMU, Debian's cloud kernels), made of what they said by

    make test-vm        # boots them; KERNELS=, USERS=, TESTS= and ARCH= choose
    make kernels        # writes this from their KTAP

A program passes when it judges, alone, after a dump and a restore, and after a dump that left it running, that it did not
notice, and when the restored tree was the same, fact by fact; `resource/facts_differential` compares what the same BPF objects tell
on each kernel with /proc, ptrace and the program's own word. –: not tried with this user space.""")
    notes = []
    for arch, user in sorted({(m.about["arch"], m.about["user"]) for m in machines}):
        some = [m for m in machines if (m.about["arch"], m.about["user"]) == (arch, user)]
        some.sort(key=lambda m: version(m.about["series"]))
        print(f"\n## {arch}, glibc {some[0].about['glibc']} (Debian {user})\n")
        print("\n".join(table(some, notes)))
    if notes:
        print("\nSkipped:\n")
        for number, note in enumerate(notes, 1):
            print(f"{number}. {note}")


main()
