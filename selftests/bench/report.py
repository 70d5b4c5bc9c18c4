#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""report.py JSON DIRECTORY: writes what measure.py measured as DIRECTORY/benchmarks.md and benchmarks.svg."""
import json
import os
import statistics
import sys

from chart import chart

STEPS = ("dump", "dump, left running", "frozen", "restore", "restore, unproven")
TOOLS = ("ckpt", "ckpt, pinned", "CRIU")

HEAD = """# Benchmarks

Made by `{command}` at {version} on Linux {machine}.

![Times faster than {peer}, by program](benchmarks.svg)

ckpt and {peer} (Debian sid) dump and restore the same programs in turns, in one root, one pid namespace and on one file system ({file_system}, in
the page cache: neither syncs its image). Milliseconds of wall time from the start of the command to its end: the median, and in brackets the
10th and 90th percentile, of the rounds after one that warms the caches: {rounds}. Who goes first changes with every round; memory is touched
before each measurement of the heap. *frozen* is how long the program stood still in the dump that left it running, as each tool reports it.
*pinned* is ckpt after `ckpt bpf pin`. *unproven* is ckpt with `--no-verify`: as {peer}, which has no such proof, it then does not look at what
it has restored; checksums are verified all the same. *times* is how much longer {peer} took than ckpt, and than ckpt pinned.

*limit* is the median, in the same rounds, of plain work that a tool can hardly do without, and how many times as long ckpt pinned took:
{limits}.

| program | what | ckpt | ckpt, pinned | {peer} | times | pinned | limit | of it |
|---|---|---:|---:|---:|---:|---:|---:|---:|
"""

MEANING = {
    "exec": "*exec*, starting and reaping an empty static program (`/usr/bin/true`, which is dynamic, takes {true:.1f} ms)",
    "clone": "*clone*, `pthread_create()` of as many threads",
    "fork": "*fork*, for processes `fork()` of as many, otherwise one `fork()` of the program",
    "open": "*open*, `open()` of as many files",
    "mprotect": "*mprotect*, one `mmap()`, as many mappings by `mprotect()`, and a write into every second one",
    "pwrite": "*pwrite*, the same bytes by one thread and file per processor to the same file system",
    "pread": "*pread*, those bytes back into huge pages by one thread per processor",
}


def spread(values):
    values = sorted(values)
    return f"{statistics.median(values):.1f} ({values[len(values) // 10]:.1f}–{values[-1 - len(values) // 10]:.1f})"


def median(values):
    return statistics.median(values) if values else None


def ratio(a, b):
    return f"{a / b:.1f}" if a and b else "–"


class Notes:
    """Footnotes: what failed, at what, and how often."""

    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f"<sup>{self.texts.index(text) + 1}</sup>"

    def __str__(self):
        return "".join(f"{number}. {text}\n" for number, text in enumerate(self.texts, 1))


def failure_note(tool, name, mine, peer):
    first = mine["failures"][0]
    who = peer if tool == "CRIU" else tool
    return f"{who} failed {len(mine['failures'])} of {mine['tries']} times at {name} ({first['step']}): `{first['message']}`"


def cell(work, tool, step, peer, notes):
    mine = work["tools"][tool]
    values = mine["times"].get(step, [])
    mark = ""
    if mine["failures"] and (not values or mine["failures"][0]["step"] == step):
        mark = notes.mark(failure_note(tool, work["name"], mine, peer))
    return (spread(values) if values else "–") + mark


def limit_cells(work, step, pinned):
    if step not in work["limits"] or not work["limits"][step]["times"]:
        return " | "
    limit = work["limits"][step]
    plain = median(limit["times"])
    return f"{plain:.1f} {limit['label']} | {ratio(pinned, plain)}"


def is_known(mine, step):
    """Was it measured, or has it failed?"""
    return step in mine["times"] or any(failure["step"] == step for failure in mine["failures"])


def rows(work, peer, notes):
    for step in STEPS:
        if not any(is_known(work["tools"][tool], step) for tool in TOOLS):
            continue
        mine, pinned, theirs = (median(work["tools"][tool]["times"].get(step)) for tool in TOOLS)
        columns = " | ".join(cell(work, tool, step, peer, notes) for tool in TOOLS)
        yield (f"| {work['name']} | {step} | {columns} | {ratio(theirs, mine)} | {ratio(theirs, pinned)} | "
               f"{limit_cells(work, step, pinned)} |")
    mine, theirs = (median(work["tools"][tool]["times"].get("bytes")) for tool in ("ckpt", "CRIU"))
    sizes = [f"{size / 1024:.0f}" if size else "–" for size in (mine, theirs)]
    yield f"| {work['name']} | image, KiB | {sizes[0]} | | {sizes[1]} | {ratio(theirs, mine)} | | | |"


def rounds(works):
    by_number = {}
    for work in works:
        by_number.setdefault(work["rounds"], []).append(work["name"])
    if len(by_number) == 1:
        return f"{works[0]['rounds']}"
    most = max(by_number, key=lambda number: len(by_number[number]))
    others = [f"{number} for {', '.join(names)}" for number, names in by_number.items() if number != most]
    return "; ".join([f"{most}"] + others)


def markdown(found):
    notes = Notes()
    table = [row for work in found["works"] for row in rows(work, found["peer"], notes)]
    used = {limit["label"] for work in found["works"] for limit in work["limits"].values()}
    true = statistics.median(found["empty"]["/usr/bin/true"])
    limits = ";\n".join(text.format(true=true) for label, text in MEANING.items() if label in used)
    head = HEAD.format(**{**found, "rounds": rounds(found["works"]), "limits": limits})
    foot = str(notes)
    return head + "\n".join(table) + "\n" + ("\n" + foot if foot else "")


def times_faster(work, step):
    """The name of the bar, and how many times faster ckpt and ckpt pinned are; None where one of them has no time."""
    mine, pinned, theirs = (median(work["tools"][tool]["times"].get(step)) for tool in TOOLS)
    return step, theirs and mine and theirs / mine, theirs and pinned and theirs / pinned


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        found = json.load(file)
    groups = [(work["name"].strip("`"), [times_faster(work, step) for step in ("dump", "restore")]) for work in found["works"]]
    for name, text in (("benchmarks.md", markdown(found)), ("benchmarks.svg", chart(groups, found["peer"]))):
        with open(os.path.join(sys.argv[2], name), "w", encoding="utf-8") as file:
            file.write(text)


main()
