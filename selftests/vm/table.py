# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: table.py FILE...: prints docs/kernels.md from what test machines have said: kernel x architecture x test (.ktap, which
selftests/vm/run keeps, and in .run how long all of them took), and from kernel x to kernel (.cross, of selftests/vm/cross). A row of
the first is one program or one fact; what it consists of (dumped and restored, left running) is one result. Rows of a test that
pass wherever they were tried are one row with their number, but for those of CHOSEN tests in WORDS."""
import re
import sys

WORDS = {
    "sleeper": "a sleeping program", "sleeper_static": "the same, static glibc", "sleeper_musl": "the same, static musl",
    "clock": "clocks read by the vDSO", "clock_static": "the same, static glibc", "clock_musl": "the same, static musl",
    "threads": "100 threads", "threads_static": "20 threads, static glibc", "threads_musl": "20 threads, static musl",
    "python": "python with threads", "loop": "python with an event loop", "pty": "bash with jobs on a terminal",
    "redis": "redis", "rseq_own": "rseq areas of its own",
}
CHOSEN = ("tree/programs", "tree/redis", "tree/resources", "tree/trees")
CROSSING = {
    "clock": "a program that reads clocks by the vDSO", "clock.static": "a static one that reads clocks by the vDSO",
    "threads": "one with 100 threads", "python.py": "python with threads", "redis.py": "redis and its clients",
}
PARTS = re.compile(r"_(alone|dump_restore|leave_running|by_criu)$")
LINE = re.compile(r"(not )?ok \d+ ([^ #]+)(?: # SKIP (.*))?$")


def about(file):
    """Its first line: "# KIND NAME=VALUE..."."""
    return dict(word.split("=", 1) for word in file.readline().split()[2:])


class Machine:
    def __init__(self, path):
        self.rows = {}
        parts = []
        with open(path, encoding="utf-8", errors="replace") as file:
            self.about = about(file)
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


class Crossing:
    """What came of programs that went from kernel to kernel. Who goes on has passed when it judges itself at last."""
    def __init__(self, path):
        self.cells, self.kernels, self.programs, waiting = {}, [], [], {}
        with open(path, encoding="utf-8") as file:
            self.about = about(file)
            for line in file:
                source, target, program, said = line.rstrip("\n").split(" ", 3)
                self.note(self.kernels, source, target)
                self.note(self.programs, program)
                passed = waiting.setdefault(program, [])
                passed.append((source, target))
                if said == "ok":
                    for pair in passed:
                        self.cells.setdefault(pair, {})[program] = True
                elif said != "goes on":
                    self.cells.setdefault((source, target), {})[program] = False
                if said != "goes on":
                    passed.clear()

    @staticmethod
    def note(known, *names):
        known.extend(name for name in names if name not in known)

    def cell(self, source, target):
        came = self.cells.get((source, target), {})
        lost = [program for program, passed in came.items() if not passed]
        if lost:
            return f"**fail** ({', '.join(lost)})"
        return "pass" if came and len(came) == len(self.programs) else "–"

    def table(self):
        kernels = sorted(self.kernels, key=lambda name: [int(n) if n.isdigit() else 0 for n in re.split(r"\D", name)])
        yield "| from \\ to | " + " | ".join(kernels) + " |"
        yield "|---" * (len(kernels) + 1) + "|"
        for source in kernels:
            yield f"| {source} | " + " | ".join("" if source == target else self.cell(source, target) for target in kernels) + " |"


# "newest" comes last.
def version(series):
    return (1, ()) if series == "newest" else (0, tuple(int(n) for n in series.split(".")))


def known_rows(machines):
    rows = []
    for machine in machines:
        rows += [row for row in machine.rows if row not in rows]
    return sorted(rows, key=lambda row: (not has_words(row), row[0]))


def has_words(row):
    return row[0] in CHOSEN and row[1] in WORDS


def count_passed(machine, rows):
    passed = sum(row in machine.rows for row in rows)
    return f"{passed} pass" if passed else "–"


def minutes(machine):
    about = machine.about
    return f"{int(about['seconds']) / 60:.1f} ({about['load']})" if "seconds" in about else "–"


def table(machines, notes):
    alike = {}
    yield "| | " + " | ".join(re.sub(r"[+-].*", "", m.about["kernel"]) for m in machines) + " |"
    yield "|---" * (len(machines) + 1) + "|"
    for test, name in known_rows(machines):
        if not has_words((test, name)) and all(m.cell((test, name), []) in ("pass", "–") for m in machines):
            alike.setdefault(test, []).append((test, name))
            continue
        what = WORDS[name] if has_words((test, name)) else name.replace("_", " ")
        yield f"| {what} (`{test}`) | " + " | ".join(m.cell((test, name), notes) for m in machines) + " |"
    for test, rows in alike.items():
        yield f"| everything else of `{test}` | " + " | ".join(count_passed(m, rows) for m in machines) + " |"
    if any("seconds" in m.about for m in machines):
        yield "| minutes it took (load of the computer) | " + " | ".join(map(minutes, machines)) + " |"


def print_crossings(crossings):
    print("""
## From kernel to kernel

Images that one kernel made, restored by another: the programs go on there and judge themselves (`make test-cross`).""")
    for crossing in crossings:
        programs = ", ".join(CROSSING.get(program, program) for program in crossing.programs)
        print(f"\n{crossing.about['arch']}, Debian {crossing.about['user']}: {programs}.\n")
        print("\n".join(crossing.table()))


def print_runs(paths):
    for path in paths:
        with open(path, encoding="utf-8") as file:
            run = about(file)
        print(f"\nThe {run['machines']} machines of {run['arch']} took {int(run['seconds']) / 60:.0f} minutes, {run['jobs']} at once, on a "
              f"computer of as many processors, whose load was {run['load']} with them.")


def main():
    of_kind = {kind: [path for path in sys.argv[1:] if path.endswith(kind)] for kind in (".ktap", ".run", ".cross")}
    crossings = list(map(Crossing, of_kind[".cross"]))
    machines = [m for m in map(Machine, of_kind[".ktap"]) if m.whole and m.about["user"] != "build"]
    print("""# Kernels

What was tried in test machines (QEMU, Debian's cloud kernels), made of what they said by

    make test-vm        # boots them; KERNELS=, USERS=, TESTS= and ARCH= choose
    make kernels        # writes this from their KTAP

A program passes when it judges, after a dump and a restore, and after a dump that left it running, that it did not
notice, and when the restored tree was the same, fact by fact; `resource/facts_differential` compares what the same BPF objects tell
on each kernel with /proc, ptrace and the program's own word. –: not tried with this user space.""")
    print_runs(of_kind[".run"])
    notes = []
    for arch, user in sorted({(m.about["arch"], m.about["user"]) for m in machines}):
        some = [m for m in machines if (m.about["arch"], m.about["user"]) == (arch, user)]
        some.sort(key=lambda m: version(m.about["series"]))
        print(f"\n## {arch}, glibc {some[0].about['glibc']} (Debian {user})\n")
        print("\n".join(table(some, notes)))
    if crossings:
        print_crossings(crossings)
    if notes:
        print("\nSkipped:\n")
        for number, note in enumerate(notes, 1):
            print(f"{number}. {note}")


main()
