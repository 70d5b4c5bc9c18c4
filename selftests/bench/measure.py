#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""measure.py ROUNDS MACHINE: dumps and restores the same programs with ckpt and its peer in turns; prints Markdown. It is process 1
of a pid namespace, so that everything ends with it."""
import json
import mmap
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROUNDS, MACHINE = int(sys.argv[1]), sys.argv[2]
CKPT, PEER, PROGRAM = "/run/bench/ckpt", "/usr/sbin/criu", "/run/bench/bench.static"
IMAGES = "/var/tmp/ckpt-bench"
NULL = os.open("/dev/null", os.O_RDWR)
WORKS = [("`sleep`", ["/usr/bin/sleep", "1000"], ROUNDS),
         ("100 threads", [PROGRAM, "threads", "100"], ROUNDS),
         ("1 GiB heap", [PROGRAM, "heap", "1024"], max(3, ROUNDS // 3))]
WORKS = [work for work in WORKS if re.search(os.environ.get("BENCH_ONLY", ""), work[0])]


def run(argv):
    """Milliseconds that the command took; it must succeed."""
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, NULL, 0), (os.POSIX_SPAWN_DUP2, OUT, 1),
                                                                  (os.POSIX_SPAWN_DUP2, OUT, 2)])
    status = os.waitpid(pid, 0)[1]
    took = (time.perf_counter() - start) * 1000
    if status:
        os.lseek(OUT, 0, os.SEEK_SET)
        sys.exit(f"bench: {' '.join(argv)} ended with status {status >> 8}:\n{os.read(OUT, 8192).decode()}")
    return took


def warm():
    """Free memory that the machine gave back to its host (free page reporting, after two seconds) is slow on first use: as much as
    both need is touched right before, as small and as huge pages."""
    small = b"x" * (2 << 30)
    with mmap.mmap(-1, 2 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        block = b"x" * (1 << 20)
        for _ in range(2 << 10):
            memory.write(block)
    del small


def start(argv):
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for fd in (0, 1, 2):
            os.dup2(NULL, fd)
        os.dup2(ready_write, 9)
        os.closerange(10, 200)
        for fd in range(3, 9):
            try:
                os.close(fd)
            except OSError:
                pass
        os.set_inheritable(9, argv[0] == PROGRAM)
        os.execv(argv[0], argv)
    os.close(ready_write)
    os.read(ready_read, 1)  # end of file: it has closed it, or it was closed by exec
    os.close(ready_read)
    time.sleep(0.02)
    return pid


def end(pid):
    os.kill(pid, signal.SIGKILL)
    reap(pid)


def reap(pid):
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    at, found = 0, {}
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            found[key >> 3], at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            found[key >> 3] = data[at:at + size]
            at += size
        else:
            break
    return found


class Ckpt:
    name = "ckpt"

    @staticmethod
    def dump(pid, directory, leave):
        return run([CKPT, "dump", str(pid), directory, "--no-durable", "--json"] + (["--leave-running"] if leave else []))

    @staticmethod
    def frozen(_):
        os.lseek(OUT, 0, os.SEEK_SET)
        text = os.read(OUT, 65536).decode()
        return json.loads(text[text.index("{"):])["frozen_ns"] / 1e6

    @staticmethod
    def restore(directory):
        return run([CKPT, "restore", "-d", directory])


class Pinned(Ckpt):
    """With the programs that read kernel state kept loaded, as `ckpt bpf pin` or a service does at boot."""
    name = "ckpt, pinned"


class Peer:
    name = "CRIU"

    @staticmethod
    def dump(pid, directory, leave):
        os.mkdir(directory)
        return run([PEER, "dump", "-t", str(pid), "-D", directory, "-v1", "-o", "log"] + (["-R"] if leave else []))

    @staticmethod
    def frozen(directory):
        with open(directory + "/stats-dump", "rb") as file:
            data = file.read()
        return fields(fields(data[12:])[1])[2] / 1000

    @staticmethod
    def restore(directory):
        return run([PEER, "restore", "-D", directory, "-d", "-v1", "-o", "log"])


def size(directory):
    return sum(os.stat(os.path.join(directory, f)).st_blocks * 512 for f in os.listdir(directory))


def clear():
    os.lseek(OUT, 0, os.SEEK_SET)
    os.ftruncate(OUT, 0)


def once(tool, argv, heavy):
    """One dump that leaves the program running, one that ends it, one restore."""
    shutil.rmtree(IMAGES, ignore_errors=True)
    os.makedirs(IMAGES, 0o700)
    if heavy:
        warm()
    pid = start(argv)
    result = {}
    clear()
    result["dump, left running"] = tool.dump(pid, IMAGES + "/1", True)
    result["frozen"] = tool.frozen(IMAGES + "/1")
    shutil.rmtree(IMAGES + "/1")
    if heavy:
        warm()
    clear()
    result["dump"] = tool.dump(pid, IMAGES + "/2", False)
    reap(pid)
    result["bytes"] = size(IMAGES + "/2")
    if heavy:
        warm()
    clear()
    result["restore"] = tool.restore(IMAGES + "/2")
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        if stat.read().split()[2] not in "SR":
            sys.exit("bench: the restored program does not run")
    end(pid)
    return result


def spread(values):
    values = sorted(values)
    return f"{statistics.median(values):.1f} ({values[len(values) // 10]:.1f}–{values[-1 - len(values) // 10]:.1f})"


def main():
    global OUT
    OUT = os.memfd_create("output", 0)
    os.makedirs(IMAGES, 0o700, exist_ok=True)
    version = subprocess.run([PEER, "--version"], capture_output=True, text=True, check=False).stdout
    peer = "CRIU " + (re.search(r"[\d.]+", version) or ["?"])[0]
    file_system = subprocess.run(["/usr/bin/stat", "-fc", "%T", IMAGES], capture_output=True, text=True, check=True).stdout.strip().replace("ext2/ext3", "ext4")
    empty = statistics.median(run(["/usr/bin/true"]) for _ in range(20))
    rows = []
    for name, argv, rounds in WORKS:
        heavy = argv[-1] == "1024"
        tools = (Ckpt, Pinned, Peer)
        measured = {tool: [] for tool in tools}
        for number in range(rounds + 1):
            for tool in tools if number % 2 else tools[::-1]:
                if tool is Pinned:
                    run([CKPT, "bpf", "pin"])
                result = once(tool, argv, heavy)
                if tool is Pinned:
                    run([CKPT, "bpf", "unpin"])
                if number:  # the first round warms caches
                    measured[tool].append(result)
            print(f"bench: {name} {number} of {rounds}", file=sys.stderr)
        for what in ("dump", "dump, left running", "frozen", "restore"):
            values = [[r[what] for r in measured[tool]] for tool in tools]
            mine, pinned, theirs = (statistics.median(v) for v in values)
            columns = " | ".join(spread(v) for v in values)
            rows.append(f"| {name} | {what} | {columns} | {theirs / mine:.1f} | {theirs / pinned:.1f} |")
        mine, theirs = (statistics.median(r["bytes"] for r in measured[tool]) / 1024 for tool in (Ckpt, Peer))
        rows.append(f"| {name} | image, KiB | {mine:.0f} | | {theirs:.0f} | {theirs / mine:.1f} | |")
    shutil.rmtree(IMAGES)
    print(f"""# Benchmarks

Made by `{os.environ.get('BENCH_COMMAND', 'make bench')}` at {os.environ.get('BENCH_VERSION', '?')} on Linux {MACHINE}.

ckpt and {peer} (Debian sid) dump and restore the same programs in turns, in one root, one pid namespace and on one file system ({file_system}, in the
page cache: neither syncs its image). Milliseconds of wall time from the start of the command to its end: the median, and in brackets the 10th and
90th percentile, of {ROUNDS} rounds ({max(3, ROUNDS // 3)} for the heap) after one that warms the caches; memory is touched before each round of
the heap. *frozen* is how long the program stood still in the dump that left it running, as each program reports it.
*pinned* is ckpt after `ckpt bpf pin`; *times* is how much longer {peer} took than ckpt, and than ckpt pinned.
Starting and reaping `/usr/bin/true` takes {empty:.1f} ms here.

| program | what | ckpt | ckpt, pinned | {peer} | times | pinned |
|---|---|---:|---:|---:|---:|---:|""")
    print("\n".join(rows))


OUT = -1
main()
