#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""redis.py DIR: a redis-server as its child, with 20000 keys, and two clients that talk to it all the time; judges itself."""
import os
import socket
import struct
import subprocess
import sys
import time
import traceback

DIR = os.path.realpath(sys.argv[1])
SERVER = "/usr/bin/redis-server"
PORT = 6391
KEYS = 20000


def put(name, text):
    fd = os.open(os.path.join(DIR, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, text.encode())
    os.close(fd)


class Client:
    def __init__(self, family, address):
        self.socket = socket.socket(family)
        self.socket.connect(address)
        self.rest = b""

    def line(self):
        while b"\r\n" not in self.rest:
            more = self.socket.recv(65536)
            if not more:
                raise RuntimeError("the server is gone")
            self.rest += more
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line.decode()

    def answer(self):
        line = self.line()
        return self.line() if line[0] == "$" and line != "$-1" else line

    def say(self, *words):
        parts = ["*%d\r\n" % len(words)] + ["$%d\r\n%s\r\n" % (len(w), w) for w in words]
        self.socket.sendall("".join(parts).encode())

    def ask(self, *words):
        self.say(*words)
        return self.answer()


def connect():
    for _ in range(500):
        try:
            return Client(socket.AF_INET, ("127.0.0.1", PORT)), Client(socket.AF_UNIX, os.path.join(DIR, "redis"))
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("no server")


def demand(got, expected):
    if got != expected:
        raise RuntimeError("%r, not %r" % (got, expected))


def fill(client):
    for first in range(0, KEYS, 100):
        for i in range(first, first + 100):
            client.say("SET", "key%d" % i, "value%d" % (i * 7))
        for i in range(first, first + 100):
            demand(client.answer(), "+OK")


def live(one, other):
    count = 0
    while not os.path.exists(os.path.join(DIR, "stop")):
        count += 1
        demand(one.ask("INCR", "count"), ":%d" % count)
        demand(other.ask("GET", "count"), "%d" % count)
        time.sleep(0.003)


def finish(server, one, other):
    for i in range(0, KEYS, 13):
        demand(other.ask("GET", "key%d" % i), "value%d" % (i * 7))
    late, again = connect()
    demand(late.ask("DBSIZE"), ":%d" % (KEYS + 1))
    demand(again.ask("PING"), "+PONG")
    for client in (one, late):  # reset: else the addresses are in use for a minute
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.socket.close()
    other.say("SHUTDOWN", "NOSAVE")
    demand(server.wait(10), 0)


def main():
    if not os.access(SERVER, os.X_OK):
        return "skip: %s is not installed" % SERVER
    with open(os.path.join(DIR, "log"), "ab") as log:
        server = subprocess.Popen(
            [SERVER, "--port", str(PORT), "--bind", "127.0.0.1", "--save", "", "--dir", DIR,
             "--unixsocket", os.path.join(DIR, "redis")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    one, other = connect()
    fill(one)
    put("ready", "")
    live(one, other)
    finish(server, one, other)
    return "ok"


try:
    verdict = main()
except Exception:
    verdict = traceback.format_exc()
put("verdict", verdict)
