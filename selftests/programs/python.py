#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""python.py DIR: four threads with a lock, a queue, files and pipes; judges itself as the C programs do (judge.h)."""
import os
import queue
import random
import sys
import threading
import time
import traceback

DIR = os.path.realpath(sys.argv[1])
PATIENCE = 60  # seconds until who stands still is taken to do so for ever
problems = []
stopping = False
counts = [0] * 4
total = 0
lock = threading.Lock()
work = queue.Queue(maxsize=8)
reader, writer = os.pipe()
log = open(os.path.join(DIR, "log"), "a+", buffering=1, encoding="ascii")
heap = {n: os.urandom(64) for n in range(20000)}
heap_sum = hash(tuple(sorted(heap.items())))
ids = {}


def put(name, text):
    fd = os.open(os.path.join(DIR, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, text.encode())
    os.close(fd)


def guarded(function):
    def run(me):
        ids[me] = threading.get_native_id()
        try:
            while not stopping:
                function(me)
                if threading.get_native_id() != ids[me]:
                    raise RuntimeError("the thread id changed")
        except Exception:
            problems.append(traceback.format_exc())
    return run


def bump(me):
    global total
    with lock:
        counts[me] += 1
        total += 1


@guarded
def producer(me):
    bump(me)
    work.put(counts[me])
    time.sleep(0.002)


@guarded
def consumer(me):
    try:
        item = work.get(timeout=0.5)
    except queue.Empty:
        return
    if item <= counts[me]:
        raise RuntimeError(f"item {item} after {counts[me]}")
    counts[me] = item
    log.write(f"{item}\n")


@guarded
def piper(me):
    global total
    with lock:
        counts[me] += 1
        total += 1
    os.write(writer, b"%08d" % counts[me])
    time.sleep(0.003)


@guarded
def drainer(me):
    text = os.read(reader, 8)
    if int(text) != counts[me] + 1:
        raise RuntimeError(f"{text} after {counts[me]}")
    counts[me] += 1


def wait_until(true):
    end = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def main():
    global stopping
    threads = [threading.Thread(target=f, args=(n,)) for n, f in enumerate((producer, consumer, piper, drainer))]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(counts))
    clock = time.monotonic()
    put("ready", "")
    while not os.path.exists(os.path.join(DIR, "stop")):
        time.sleep(0.02)
        if time.monotonic() < clock:
            problems.append("the clock went back")
        clock = time.monotonic()
    before = list(counts)
    time.sleep(0.3)
    if not wait_until(lambda: all(b > a for a, b in zip(before, counts))):
        problems.append(f"someone stands still: {before} {counts}")
    stopping = True
    for n in (0, 1, 2):
        threads[n].join(PATIENCE)
    os.write(writer, b"%08d" % (counts[2] + 1))
    threads[3].join(PATIENCE)
    if any(thread.is_alive() for thread in threads):
        problems.append("a thread does not end")
    if total != counts[0] + counts[2]:
        problems.append(f"{total} is not {counts[0]} + {counts[2]}")
    if hash(tuple(sorted(heap.items()))) != heap_sum:
        problems.append("the heap changed")
    late = threading.Thread(target=random.seed)  # one that is born now
    late.start()
    late.join(PATIENCE)
    if late.is_alive():
        problems.append("a thread that was started late does not end")
    log.seek(0)
    lines = [int(line) for line in log]
    if lines != list(range(1, len(lines) + 1)) or len(lines) != counts[1]:
        problems.append(f"the log has {len(lines)} lines, not {counts[1]}")
    random.random()
    put("verdict", "\n".join(problems) or "ok")


main()
