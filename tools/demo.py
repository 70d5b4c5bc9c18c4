#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The program of `make demo`: three threads look for prime numbers, a fourth writes a line twice a second. It knows nothing of
checkpoints; it only has what would be lost without one: memory, threads, an open file, a place in the middle of its work."""
import sys
import threading
import time

found = {1: [], 2: [], 3: []}
lock = threading.Lock()
lines = 0
log = open(sys.argv[1], "a", buffering=1, encoding="ascii")


def look(who, start):
    n = start
    while True:
        if n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1)):
            with lock:
                found[who].append(n)
        n += 1
        if n % 64 == 0:
            time.sleep(0.002)


for who in found:
    threading.Thread(target=look, args=(who, who * 1000000), daemon=True).start()
while True:
    time.sleep(0.5)
    lines += 1
    with lock:
        best = "  ".join(f"thread {who}: {len(primes):6} primes, latest {primes[-1] if primes else '-'}" for who, primes in found.items())
    log.write(f"line {lines:3}   {best}\n")
