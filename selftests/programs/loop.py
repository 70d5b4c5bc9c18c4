#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""loop.py DIR [tcp]: an event loop (epoll) with a server, clients that stay connected, timers and a signal; judges itself as
the C programs do (judge.h)."""
import asyncio
import os
import signal
import sys
import time
import traceback

DIR = os.path.realpath(sys.argv[1])
PATH = os.path.join(DIR, "server")
TCP = "tcp" in sys.argv
PORT = 4242
CLIENTS = 5
PATIENCE = 60  # seconds until who stands still is taken to do so for ever
handled = 0
answers = [0] * CLIENTS
ticks = 0


def put(name, text):
    fd = os.open(os.path.join(DIR, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, text.encode())
    os.close(fd)


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(b"%d\n" % (int(line) * 2))
    writer.close()


def connect():
    if TCP:
        return asyncio.open_connection("localhost", PORT)
    return asyncio.open_unix_connection(PATH)


async def client(me):
    reader, writer = await connect()
    while True:
        writer.write(b"%d\n" % (answers[me] + 1))
        if int(await reader.readline()) != 2 * (answers[me] + 1):
            raise RuntimeError(f"client {me}: wrong answer {answers[me]}")
        answers[me] += 1
        await asyncio.sleep(0.003)


async def tick():
    global ticks
    while True:
        await asyncio.sleep(0.01)
        ticks += 1


async def wait_until(true):
    while not true():
        await asyncio.sleep(0.01)


def handle():
    global handled
    handled += 1


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, handle)
    if TCP:
        server = await asyncio.start_server(serve, ["127.0.0.1", "::1"], PORT)
    else:
        server = await asyncio.start_unix_server(serve, PATH)
    tasks = [asyncio.create_task(client(n)) for n in range(CLIENTS)] + [asyncio.create_task(tick())]
    await wait_until(lambda: all(answers))
    put("ready", "")
    while not os.path.exists(os.path.join(DIR, "stop")):
        await asyncio.sleep(0.02)
    before, then = list(answers), ticks
    os.kill(os.getpid(), signal.SIGUSR1)
    clock = time.monotonic()
    await asyncio.sleep(0.3)
    problems = []
    if not 0.29 < time.monotonic() - clock < PATIENCE:
        problems.append("a timer is wrong")
    try:
        await asyncio.wait_for(wait_until(lambda: ticks > then and all(b > a for a, b in zip(before, answers))), PATIENCE)
    except asyncio.TimeoutError:
        problems.append(f"someone stands still: {before} {answers}, {then} {ticks}")
    if handled != 1:
        problems.append(f"{handled} signals")
    for task in tasks:
        if task.done():
            problems.append(f"a task has ended: {task.exception()}")
        task.cancel()
    reader, writer = await connect()
    writer.write(b"21\n")
    if await reader.readline() != b"42\n":
        problems.append("a new connection gets no answer")
    server.close()
    return problems


try:
    verdict = asyncio.run(main())
except Exception:
    verdict = [traceback.format_exc()]
put("verdict", "\n".join(verdict) or "ok")
