# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs that are measured: how each is started, warmed up for and ended, and the plain work that is its limit. All this
is for process 1 of a pid namespace, where every other process is the benchmark's."""
import mmap
import os
import re
import resource
import signal
import sys
import time

PROGRAM = "/run/bench/bench.static"
TELL = 9  # the descriptor on which the program tells the times it took
NULL = os.open("/dev/null", os.O_RDWR)


class Work:
    """A program in the state that is dumped and restored. Limits: what is measured -> (label, arguments, name of the time)."""

    def __init__(self, name, mode=None, count=0, **limits):
        self.name, self.mode, self.count, self.limits = name, mode, count, limits

    @property
    def argv(self):
        return [PROGRAM, self.mode, str(self.count)] if self.mode else ["/usr/bin/sleep", "1000"]

    @property
    def heavy(self):
        return self.mode == "heap"


def number(n):
    return f"{n:,}".replace(",", " ") if n >= 10000 else str(n)


def descriptors_allowed():
    """10 000, or as many as leave a restore room for twice the number."""
    return min(10000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) // 2)


def works():
    """Every program of the table whose name BENCH_ONLY matches; ends the benchmark when there is none."""
    files, heap = descriptors_allowed(), int(os.environ.get("BENCH_HEAP", "1024"))
    fork = ("fork", ["fork"], "fork")
    execute = ("exec", None, "exec")
    table = [Work("`sleep`", dump=execute, restore=execute)]
    table += [Work(f"{n} threads", "threads", n, restore=("clone", [], "made")) for n in (100, 1000)]
    table += [Work("1000 processes", "processes", 1000, restore=("fork", [], "made"))]
    table += [Work(f"{number(files)} descriptors", "descriptors", files, frozen=fork, restore=("open", [], "made"))]
    table += [Work(f"{number(n)} mappings", "mappings", n, frozen=fork, restore=("mprotect", [], "made")) for n in (10000, 60000)]
    table += [Work("1 GiB heap" if heap == 1024 else f"{heap} MiB heap", "heap", heap, frozen=fork,
                   dump=("pwrite", ["write"], "pwrite"), restore=("pread", ["read"], "pread"))]
    only = os.environ.get("BENCH_ONLY", "")
    chosen = [work for work in table if re.search(only, work.name)]
    if not chosen:
        sys.exit(f"bench: no program's name matches BENCH_ONLY={only}; there are: " + ", ".join(work.name for work in table))
    return chosen


def warm(megabytes):
    """Free memory that the machine gave back to its host (free page reporting, after two seconds) is slow on first use: as much as
    both need is touched right before, as small and as huge pages."""
    size = megabytes << 21
    small = b"x" * size
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        block = b"x" * (1 << 20)
        for _ in range(size >> 20):
            memory.write(block)
    del small


def become(argv, tell):
    """In the new process: a session of its own and no descriptor but the standard ones and, for our program, the one to tell on."""
    os.setsid()
    for fd in (0, 1, 2):
        os.dup2(NULL, fd)
    os.dup2(tell, TELL)
    os.closerange(3, TELL)
    os.closerange(TELL + 1, 200)
    os.set_inheritable(TELL, argv[0] == PROGRAM)
    os.execv(argv[0], argv)


def start(argv):
    """The process, ready, and the times that it told."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become(argv, tell)
        finally:
            os._exit(127)
    os.close(tell)
    with open(told, encoding="ascii") as lines:  # until all of its processes have closed it, or exec did
        times = {name: float(ms) for name, ms in (line.split() for line in lines)}
    if argv[0] == PROGRAM and not times:
        raise ChildProcessError(f"{' '.join(argv)} does not start")
    return pid, times


def settle(work):
    """What has just been cloned needs a moment until it waits."""
    time.sleep(0.02 + work.count / 10000 if work.mode in ("threads", "processes") else 0.02)


def end_all():
    """Kills every other process of this namespace; their pids are free afterwards."""
    if os.getpid() != 1:
        raise PermissionError("not process 1 of a pid namespace")
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1":
            try:
                os.kill(int(name), signal.SIGKILL)
            except ProcessLookupError:
                pass
    reap_all()


def reap_all():
    """Waits for all of them: the orphans of a tree are children of process 1."""
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def reference(work, arguments, directory):
    """What a plain program takes for the same: arguments go behind those of the program."""
    path = directory + "/plain"
    argv = work.argv + arguments
    if arguments == ["write"]:
        argv.append(path)
    elif arguments == ["read"]:
        argv = [PROGRAM, "read", str(work.count), path]  # what "write" left
    if path in argv:
        warm(work.count)
    times = start(argv)[1]
    end_all()
    return times
