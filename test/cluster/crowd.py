#!/usr/bin/env python3
"""Idle and slow connections by the thousand, held by a process of its own so that they cost whoever measures nothing.

    with Crowd(idle=[(address, 2000)], slow_heads=[(address, 100)], slow_bodies=[(url, fids)], slow_reads=[(address, path, 100)],
               grpc=[(address, 500)]) as crowd:
        crowd.settled(); ...; crowd.counts()

Kinds:
  idle         connects; every other one asks for /status once (keep-alive), the others never say a word
  slow_heads   a request line and headers, a byte a second, without end
  slow_bodies  PUT of a megabyte, a kilobyte a second
  slow_reads   GET, of which a kilobyte a second is read, from a small receive buffer
  grpc         HTTP/2's preface and settings, and then only answers to pings; every fourth says nothing at all
One whose connection is closed by the server comes again a second later, as such clients do.
"""
import errno
import heapq
import json
import resource
import selectors
import socket
import subprocess
import sys
import threading
import time

TICK = 1.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
ACK = b"\0\0\0\4\1\0\0\0\0"
BODY = 1 << 20


class Crowd:
    def __init__(self, idle=(), slow_heads=(), slow_bodies=(), slow_reads=(), grpc=()):
        self.plan = {"idle": list(idle), "slow_heads": list(slow_heads), "slow_bodies": list(slow_bodies), "slow_reads": list(slow_reads),
                     "grpc": list(grpc)}
        self.last, self.popen = {}, None

    def __enter__(self):
        self.popen = subprocess.Popen([sys.executable, __file__, json.dumps(self.plan)], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._follow, daemon=True).start()
        return self

    def _follow(self):
        for line in self.popen.stdout:
            self.last = json.loads(line)

    def counts(self):
        """Of each kind: how many are wanted, connected now, were closed by the server, and the last answers' first lines."""
        if self.popen.poll() is not None:
            raise RuntimeError("the crowd has gone home by itself")
        return self.last

    def settled(self, seconds=60):
        end = time.monotonic() + seconds
        while not (self.counts() and all(one["open"] >= 0.95 * one["wanted"] for one in self.counts().values())):
            if time.monotonic() > end:
                raise RuntimeError(f"the crowd is not there after {seconds} s: {self.counts()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.popen.terminate()
        self.popen.wait()


# --- the process -----------------------------------------------------------------------------------------------------

def place(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class One:
    """A connection and what it does each second."""

    def __init__(self, crowd, kind, where, number, detail):
        self.crowd, self.kind, self.where, self.number, self.detail = crowd, kind, where, number, detail
        self.socket = None

    def connect(self):
        self.sent, self.first, self.greeted, self.inbox = 0, b"", False, b""
        self.socket = socket.socket(socket.AF_INET6 if ":" in self.where[0] else socket.AF_INET)
        if self.kind == "slow_reads":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        code = self.socket.connect_ex(self.where)
        if code not in (0, errno.EINPROGRESS):
            self.again()
            return
        self.crowd.selector.register(self.socket, selectors.EVENT_WRITE, self)

    def ready(self, events):
        if events & selectors.EVENT_WRITE:
            if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
                self.again()
                return
            self.crowd.tally[self.kind]["open"] += 1
            self.greeted = True
            # A slow reader reads by the clock, all others as it comes.
            if self.kind == "slow_reads":
                self.crowd.selector.unregister(self.socket)
            else:
                self.crowd.selector.modify(self.socket, selectors.EVENT_READ, self)
            if self.begin():
                self.crowd.later(self)
            return
        self.read(65536)

    def send(self, data):
        try:
            self.socket.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self.again()

    def read(self, most):
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.crowd.tally[self.kind]["closed"] += 1
            self.again()
            return
        if not self.first:
            self.first = data
            line = data.split(b"\r\n", 1)[0].decode("latin-1")[:40] if self.kind != "grpc" else "h2"
            answers = self.crowd.tally[self.kind]["answers"]
            answers[line] = answers.get(line, 0) + 1
        if self.kind == "grpc" and self.number % 4:
            self.frames(data)

    def frames(self, data):
        self.inbox += data
        while len(self.inbox) >= 9:
            length = int.from_bytes(self.inbox[:3], "big")
            if len(self.inbox) < 9 + length:
                return
            kind, flags, body = self.inbox[3], self.inbox[4], self.inbox[9:9 + length]
            self.inbox = self.inbox[9 + length:]
            if kind == 4 and not flags & 1:
                self.send(ACK)
            elif kind == 6 and not flags & 1:
                self.send(b"\0\0\10\6\1\0\0\0\0" + body)

    def begin(self):
        """Whether there is more to do each second."""
        if self.kind == "idle":
            if self.number % 2:
                self.send(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            return False
        if self.kind == "grpc":
            if self.number % 4:
                self.send(PREFACE)
            return False
        if self.kind == "slow_bodies":
            self.send(b"PUT /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (self.detail.encode(), BODY))
        if self.kind == "slow_reads":
            self.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % self.detail.encode())
        return True

    def tick(self):
        if self.kind == "slow_heads":
            head = b"GET /status HTTP/1.1\r\nHost: x\r\nX-Slow: "
            self.send(head[self.sent:self.sent + 1] or b"a")
            self.sent += 1
        elif self.kind == "slow_bodies":
            if self.sent < BODY - 1024:  # never quite done
                self.send(b"b" * 1024)
                self.sent += 1024
        else:
            self.read(1024)
        return self.socket is not None

    def again(self):
        if self.greeted:
            self.crowd.tally[self.kind]["open"] -= 1
        try:
            self.crowd.selector.unregister(self.socket)
        except (KeyError, ValueError):
            pass
        self.socket.close()
        self.socket = None
        self.crowd.later(self)


class Process:
    def __init__(self, plan):
        self.selector = selectors.EpollSelector()
        self.tally, self.all, self.timers = {}, [], []
        for kind, entries in plan.items():
            for entry in entries:
                address, details = place(entry[0]), [None]
                if kind == "grpc":
                    address = (address[0], address[1] + 10000)
                if kind == "slow_bodies":
                    details = entry[1]
                elif kind == "slow_reads":
                    details = [entry[1]] * entry[2]
                else:
                    details = [None] * entry[1]
                self.all += [One(self, kind, address, i, detail) for i, detail in enumerate(details)]
            if entries:
                self.tally[kind] = {"wanted": sum(1 for one in self.all if one.kind == kind), "open": 0, "closed": 0, "answers": {}}

    def later(self, one):
        heapq.heappush(self.timers, (time.monotonic() + TICK, id(one), one))

    def run(self):
        waiting = list(reversed(self.all))
        tell = 0
        while True:
            for _ in range(100):  # not all in one moment: a backlog of 4,096 is the kernel's
                if waiting:
                    waiting.pop().connect()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                one = heapq.heappop(self.timers)[2]
                if one.socket is None:
                    one.connect()
                elif one.tick():
                    self.later(one)
            if now > tell:
                tell = now + 0.25
                print(json.dumps(self.tally), flush=True)
            for key, events in self.selector.select(0.02):
                key.data.ready(events)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Process(json.loads(sys.argv[1])).run()
