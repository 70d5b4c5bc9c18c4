# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two checkpointing programs, behind one interface: each command returns the milliseconds it took, or raises Failure."""
import json
import os
import re
import signal
import subprocess
import time

CKPT, PEER = "/usr/sbin/ckpt", "/usr/sbin/criu"
TIMEOUT = 60
NULL = os.open("/dev/null", os.O_RDWR)
OUT = os.memfd_create("output", 0)


class Failure(Exception):
    """A command that did not do what it was asked to."""


def output():
    return os.pread(OUT, os.fstat(OUT).st_size, 0).decode(errors="replace")


def too_long(*_):
    raise Failure(f"took longer than {TIMEOUT} s")


def run(argv):
    """Milliseconds that the command took; it must succeed."""
    os.ftruncate(OUT, 0)
    os.lseek(OUT, 0, os.SEEK_SET)
    actions = [(os.POSIX_SPAWN_DUP2, NULL, 0), (os.POSIX_SPAWN_DUP2, OUT, 1), (os.POSIX_SPAWN_DUP2, OUT, 2)]
    signal.alarm(TIMEOUT)
    try:
        start = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
        status = os.waitpid(pid, 0)[1]
        took = (time.perf_counter() - start) * 1000
    finally:
        signal.alarm(0)
    if status:
        raise Failure(f"{' '.join(argv[:2])} ended with status {os.waitstatus_to_exitcode(status)}")
    return took


signal.signal(signal.SIGALRM, too_long)


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """The integers and byte strings of a protobuf message by number."""
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
    """As it is without preparation."""
    name = "ckpt"

    def prepare(self):
        """Before each round."""

    def tidy(self):
        """After each round."""

    def dump(self, pid, directory, leave):
        return run([CKPT, "dump", str(pid), directory, "--no-durable", "--json"] + (["--leave-running"] if leave else []))

    def frozen(self, _directory):
        """How long the dump that has just been made held the program."""
        text = output()
        return json.loads(text[text.index("{"):])["frozen_ns"] / 1e6

    def restore(self, directory, proven=True):
        return run([CKPT, "restore", "-d", directory] + ([] if proven else ["--no-verify"]))

    def complaint(self, _directory):
        """The first thing that the command that failed said about it."""
        found = re.findall(r"^error: *(.*)\n(?: *why: *(.*))?", output(), re.M)
        return ": ".join(part for part in found[0] if part) if found else ""


class Pinned(Ckpt):
    """With the programs that read kernel state kept loaded, as `ckpt bpf pin` or a service does at boot."""
    name = "ckpt, pinned"

    def prepare(self):
        run([CKPT, "bpf", "pin"])

    def tidy(self):
        run([CKPT, "bpf", "unpin"])


class Peer:
    """With a log of errors alone."""
    name = "CRIU"

    def prepare(self):
        """Nothing."""

    def tidy(self):
        """Nothing."""

    def dump(self, pid, directory, leave):
        os.mkdir(directory)
        return run([PEER, "dump", "-t", str(pid), "-D", directory, "-v1", "-o", "log"] + (["-R"] if leave else []))

    def frozen(self, directory):
        with open(directory + "/stats-dump", "rb") as file:
            data = file.read()
        return fields(fields(data[12:])[1])[2] / 1000

    def restore(self, directory, _proven=True):
        """It compares nothing afterwards, and has no checksums."""
        return run([PEER, "restore", "-D", directory, "-d", "-v1", "-o", "log"])

    def complaint(self, directory):
        try:
            with open(directory + "/log", encoding="utf-8", errors="replace") as log:
                found = re.findall(r"Error \([^)]*\): *(.*)", log.read())
        except FileNotFoundError:
            return ""
        return found[0] if found else ""

    @staticmethod
    def version():
        said = subprocess.run([PEER, "--version"], capture_output=True, text=True, check=False).stdout
        return "CRIU " + (re.search(r"[\d.]+", said) or ["?"])[0]
