#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""measure.py ROUNDS DIRECTORY: dumps and restores the same programs with ckpt and its peer in turns, images below the directory;
prints all that was measured as JSON. It is process 1 of a pid namespace, so that everything ends with it."""
import json
import os
import shutil
import subprocess
import sys
import time

import programs
from tools import Ckpt, Failure, Peer, Pinned, run

ROUNDS, IMAGES = int(sys.argv[1]), sys.argv[2] + "/images"
QUICK, SLOW = 1, 3  # seconds: a program of which a round takes less has more rounds, one of which it takes longer fewer
TRIES = 2  # a tool that failed so often at a program is not asked again
TOOLS = (Ckpt(), Pinned(), Peer())


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def size(directory):
    return sum(os.stat(os.path.join(directory, f)).st_blocks * 512 for f in os.listdir(directory))


def fresh():
    shutil.rmtree(IMAGES, ignore_errors=True)
    os.makedirs(IMAGES, 0o700)


def warm(work):
    if work.heavy:
        programs.warm(work.count)


def restore(tool, pid, proven):
    took = tool.restore(IMAGES + "/2", proven)
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        if stat.read().rsplit(")", 1)[1].split()[0] not in "SR":
            raise Failure("the restored program does not run")
    return took


def steps(tool, work, result):
    """One dump that leaves the program running, one that ends it, one restore; says which step comes next, so that what fails is
    known by its name."""
    warm(work)
    pid = programs.start(work.argv)[0]
    programs.settle(work)
    yield "dump, left running", IMAGES + "/1"
    result["dump, left running"] = tool.dump(pid, IMAGES + "/1", True)
    yield "frozen", IMAGES + "/1"
    result["frozen"] = tool.frozen(IMAGES + "/1")
    shutil.rmtree(IMAGES + "/1")
    warm(work)
    yield "dump", IMAGES + "/2"
    result["dump"] = tool.dump(pid, IMAGES + "/2", False)
    programs.end_all()
    result["bytes"] = size(IMAGES + "/2")
    warm(work)
    yield "restore", IMAGES + "/2"
    result["restore"] = restore(tool, pid, True)
    if not work.mode:  # of little the proof is a good part
        programs.end_all()
        yield "restore, unproven", IMAGES + "/2"
        result["restore, unproven"] = restore(tool, pid, False)


def once(tool, work):
    """What one round took by step, and what went wrong: {} or the step and the message."""
    fresh()
    result, step, directory = {}, "preparation", IMAGES
    try:
        tool.prepare()
        for step, directory in steps(tool, work, result):
            pass
        failure = {}
    except (Failure, OSError) as problem:
        failure = {"step": step, "message": ": ".join(text for text in (str(problem), tool.complaint(directory)) if text)}
        say(f"{tool.name}, {work.name}, {step}: {failure['message']}")
    programs.end_all()
    tool.tidy()
    return result, failure


def limits(work):
    """One measurement of each plain work that is a limit of this program."""
    fresh()
    result = {}
    for what, (_, arguments, told) in work.limits.items():
        try:
            if arguments is None:
                result[what] = run([programs.PROGRAM, "empty"])
            else:
                result[what] = programs.reference(work, arguments, IMAGES)[told]
        except (Failure, OSError) as problem:
            say(f"limit of {work.name}, {what}: {problem}")
            programs.end_all()
    return result


def add(to, result):
    for what, value in result.items():
        to.setdefault(what, []).append(value)


def rounds_of(took):
    """After a first round that took so many seconds."""
    return ROUNDS * 3 if took < QUICK else ROUNDS if took < SLOW else min(ROUNDS, max(5, ROUNDS // 3))


def measure(work):
    measured = {tool.name: {"times": {}, "failures": [], "tries": 0} for tool in TOOLS}
    bounds = {}
    number, rounds = 0, ROUNDS
    while number <= rounds:
        began, took = time.monotonic(), {}
        for tool in TOOLS if number % 2 else TOOLS[::-1]:
            mine = measured[tool.name]
            if len(mine["failures"]) >= TRIES:
                continue
            started = time.monotonic()
            result, failure = once(tool, work)
            took[tool.name] = time.monotonic() - started
            mine["tries"] += 1
            if failure:
                mine["failures"].append(failure)
            if number:  # the first round warms caches
                add(mine["times"], result)
        bound = limits(work)
        if number:
            add(bounds, bound)
        else:
            rounds = rounds_of(time.monotonic() - began)
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in took.items())
        say(f"{work.name} {number} of {rounds}: {time.monotonic() - began:.1f} s ({parts})")
        number += 1
    labels = {what: {"label": label, "times": bounds.get(what, [])} for what, (label, _, _) in work.limits.items()}
    return {"name": work.name, "count": work.count, "mode": work.mode, "rounds": rounds, "tools": measured, "limits": labels}


def file_system():
    said = subprocess.run(["/usr/bin/stat", "-fc", "%T", IMAGES], capture_output=True, text=True, check=True).stdout
    return said.strip().replace("ext2/ext3", "ext4")


def save(found):
    """After each program, so that a run that is ended early leaves what it has."""
    sys.stdout.seek(0)
    sys.stdout.truncate()
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.flush()


def main():
    fresh()
    found = {what: os.environ.get("BENCH_" + what.upper(), "?") for what in ("command", "version", "machine")}
    found.update(peer=Peer.version(), file_system=file_system())
    found["empty"] = {"/usr/bin/true": [run(["/usr/bin/true"]) for _ in range(20)],
                      "static": [run([programs.PROGRAM, "empty"]) for _ in range(20)]}
    found["works"] = []
    for work in programs.works():
        found["works"].append(measure(work))
        save(found)
    shutil.rmtree(IMAGES)


main()
