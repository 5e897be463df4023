"""Many websockets in a process of their own: what measures a server must not be its bottleneck.

    crowd = Crowd(port, "/stream/", 500, subscribe={"stream": "intval", "window": 16})
    crowd.opened            # seconds until all were accepted, and until all were current
    crowd.reset()           # counts from here
    crowd.wait_for(1234)    # until everyone's newest value is this one
    crowd.report({1: 17.25, …}, rows=10)    # what they got; when each value was committed
    crowd.close()

One loop of epoll reads all sockets. A frame that many get is parsed once: the same bytes to a
client in the same state lead to the same state. So each of them checks what it is sent (the order
of values in each row, what it missed) for little more than the cost of reading, acknowledges
frames as our client does, and notes when it had what.
"""

import base64
import collections
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

from tests.servers import CHECKOUT

#: Seconds that anything may take.
PATIENCE = 60
#: Handshakes that are under way at the same time.
AT_ONCE = 100


class Crowd:
    """The process, as the measurement sees it."""

    def __init__(
        self, port, path, count, *, subscribe=None, modern=False, sessions=False, deaf=0, core=None
    ):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.crowd"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.count = count
        if core is not None:
            os.sched_setaffinity(self.pid, {core})
        self.opened = self._ask(
            "open",
            port=port,
            path=path,
            count=count,
            subscribe=subscribe,
            modern=modern or subscribe is not None,
            sessions=sessions,
            deaf=deaf,
        )

    def reset(self):
        self._ask("reset")

    def wait_for(self, value, patience=PATIENCE):
        """Return whether everybody who reads has it."""
        return self._ask("wait", value=value, patience=patience)

    def report(self, committed=None, rows=1):
        """What was received since `reset`; how long after their commits, on so many rows."""
        return self._ask("report", committed=committed or {}, rows=rows)

    def again(self, *, resume=True):
        """Have all of them drop their connections and come back at once."""
        return self._ask("again", resume=resume)

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, what, **arguments):
        self._process.stdin.write(json.dumps([what, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"The crowd has ended while asked to {what}."
        return json.loads(answer)


class State:
    """What a client holds, and how it came to it; shared by all who were sent the same."""

    __slots__ = ("covered", "disorder", "events", "next", "rows", "value")

    def __init__(self, rows, value):
        self.rows = rows
        self.value = value
        #: The values that the last frame brought or passed over, how many it named, and how many
        #: of those were older than what was there.
        self.covered = ()
        self.events = 0
        self.disorder = 0
        self.next = {}

    def after(self, text):
        found = self.next.get(text)
        if found is None:
            if len(self.next) > 1000:
                self.next.clear()
            found = self.next[text] = self._after(text)
        return found

    def _after(self, text):
        state = State(dict(self.rows), self.value)
        covered = []
        for name, value in values_in(json.loads(text)):
            old = state.rows.get(name, 0)
            state.events += 1
            if value < old:
                state.disorder += 1
                continue
            state.rows[name] = value
            state.value = max(state.value, value)
            covered.append((old, value))
        state.covered = covered
        return state


def values_in(frame):
    """Name and value of every row in a frame of ours, of Channels 1's or of DCRF's."""
    payload = frame.get("payload", frame)
    for event in payload.get("events") or payload.get("items") or (payload,):
        data = event.get("data")
        if isinstance(data, dict) and "value" in data:
            yield data["name"], data["value"]


class Client:
    """One websocket."""

    __slots__ = (
        "arrivals",
        "buffer",
        "cursor",
        "deaf",
        "frames",
        "phase",
        "socket",
        "state",
        "unacknowledged",
    )

    def __init__(self, state, deaf):
        self.state = state
        self.deaf = deaf
        self.cursor = b""
        self.frames = 0
        self.arrivals = []


class Loop:
    """The crowd, seen from inside."""

    def __init__(self):
        self.poll = select.epoll()
        self.poll.register(0, select.EPOLLIN)
        self.clients = []
        self.by_socket = {}
        self.waiting = None
        self.deadline = None
        self.empty = State({}, 0)

    def run(self):
        commands = b""
        while True:
            left = None if self.deadline is None else max(0, self.deadline - time.monotonic())
            for number, _ in self.poll.poll(left):
                if number:
                    self.readable(self.by_socket[number])
                    continue
                read = os.read(0, 1 << 20)
                if not read:
                    return
                commands += read
                while b"\n" in commands:
                    line, _, commands = commands.partition(b"\n")
                    what, arguments = json.loads(line)
                    getattr(self, what)(**arguments)
            if self.waiting is not None and self.waiting():
                self.waiting = self.deadline = None

    @staticmethod
    def answer(value):
        print(json.dumps(value), flush=True)

    # Commands

    def open(self, port, path, count, subscribe, modern, sessions, deaf):
        self.port, self.path, self.subscribe = port, path, subscribe
        self.ack_after = 0
        offer = "Sec-WebSocket-Protocol: databinding\r\n" if modern else ""
        if subscribe is not None:
            stream = subscribe["stream"]
            if subscribe.get("window"):
                self.ack_after = max(1, subscribe["window"] // 2)
            ack = {"stream": stream, "payload": {"action": "ack", "frames": self.ack_after}}
            self.ack = masked(json.dumps(ack, separators=(",", ":")))
        key = base64.b64encode(b"measures speeds.").decode()
        self.hello = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"{offer}"
        ).encode()
        self.sessions = sessions
        self.clients = [Client(self.empty, number < deaf) for number in range(count)]
        self.connect(resume=False)

    def again(self, resume):
        for client in self.clients:
            self.poll.unregister(client.socket)
            client.socket.close()
        self.by_socket.clear()
        self.connect(resume=resume)

    def connect(self, resume):
        self.resume = resume
        self.began = time.monotonic()
        self.to_come = collections.deque(self.clients)
        self.shaken = self.current = 0
        self.all_shaken = 0.0
        for _ in range(AT_ONCE):
            self.connect_next()
        self.deadline = self.began + PATIENCE
        self.waiting = self.is_open

    def connect_next(self):
        if not self.to_come:
            return
        client = self.to_come.popleft()
        client.socket = socket.create_connection(("127.0.0.1", self.port))
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.socket.setblocking(False)
        if client.deaf:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        cookie = f"Cookie: sessionid={session_key(len(self.to_come))}\r\n" if self.sessions else ""
        client.socket.send(self.hello + f"{cookie}\r\n".encode())
        client.phase = "handshake"
        client.buffer = b""
        client.unacknowledged = 0
        self.by_socket[client.socket.fileno()] = client
        self.poll.register(client.socket, select.EPOLLIN)

    def is_open(self):
        current = self.subscribe is None or self.current == len(self.clients)
        if self.shaken < len(self.clients) or not current:
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"{self.shaken} shaken, {self.current} current")
            return False
        now = time.monotonic()
        self.answer({"accepted": self.all_shaken - self.began, "current": now - self.began})
        return True

    def reset(self):
        for client in self.clients:
            client.frames = 0
            client.arrivals = []
            client.state.next.clear()  # What led here is forgotten, too.
        self.cpu = time.process_time(), time.monotonic()
        self.answer(None)

    def wait(self, value, patience):
        behind = [client for client in self.clients if not client.deaf]
        self.deadline = time.monotonic() + patience

        def done():
            while behind and behind[-1].state.value >= value:
                behind.pop()
            if behind and time.monotonic() < self.deadline:
                return False
            self.answer(not behind)
            return True

        self.waiting = done
        if done():
            self.waiting = self.deadline = None

    def report(self, committed, rows):
        used, passed = time.process_time() - self.cpu[0], time.monotonic() - self.cpu[1]
        hearing = [client for client in self.clients if not client.deaf]
        states = [state for client in hearing for _, state in client.arrivals]
        found = {
            "clients": len(hearing),
            "frames": sum(client.frames for client in hearing),
            "events": sum(state.events for state in states),
            "disorder": sum(state.disorder for state in states),
            "core": round(used / passed, 3),
        }
        if committed:
            times = {int(value): when for value, when in committed.items()}
            found |= self.latencies(times, rows, hearing)
        self.answer(found)

    @staticmethod
    def latencies(committed, rows, hearing):
        """A row's later value makes up for those before it: with it the client is current."""
        counts = collections.Counter()
        covered = {}
        for client in hearing:
            for when, state in client.arrivals:
                times = covered.get(state)
                if times is None:
                    times = covered[state] = [
                        committed[made]
                        for old, value in state.covered
                        for made in range(value, old, -rows)
                        if made in committed
                    ]
                for committed_at in times:
                    counts[int((when - committed_at) * 10_000)] += 1
        expected = len(committed) * len(hearing)
        return {
            "expected": expected,
            "lost": expected - counts.total(),
            "p50_ms": percentile(counts, 0.5),
            "p99_ms": percentile(counts, 0.99),
            "most_ms": percentile(counts, 1),
        }

    # Sockets

    def readable(self, client):
        if client.deaf and client.phase == "live":
            self.poll.modify(client.socket, 0)
            return
        read = client.socket.recv(1 << 18)
        if not read:
            raise ConnectionError("The server closed a connection.")
        data = client.buffer + read if client.buffer else read
        if client.phase == "handshake":
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                client.buffer = head
                return
            if b" 101 " not in head:
                raise ConnectionError(head.decode())
            self.accepted(client)
        now = time.time()
        start, length = 0, len(data)
        while True:
            if length - start < 2:
                break
            size, at = data[start + 1], start + 2
            if size >= 126:
                if length - start < 10:
                    break
                wide = size == 127
                size = int.from_bytes(data[at : at + (8 if wide else 2)], "big")
                at += 8 if wide else 2
            if length - at < size:
                break
            self.frame(client, data[start], data[at : at + size], now)
            start = at + size
        client.buffer = data[start:] if start < length else b""

    def accepted(self, client):
        self.shaken += 1
        if self.shaken == len(self.clients):
            self.all_shaken = time.monotonic()
        self.connect_next()
        if self.subscribe is None:
            client.phase = "live"
            return
        client.phase = "joining"
        payload = {"action": "subscribe", "request_id": 1}
        if self.subscribe.get("window"):
            payload["window"] = self.subscribe["window"]
        if self.resume:
            payload["cursor"] = client.cursor.decode()
        asked = json.dumps({"stream": self.subscribe["stream"], "payload": payload})
        client.socket.send(masked(asked))

    def frame(self, client, head, text, now):
        if head != 0x81:
            if head == 0x89:
                client.socket.send(b"\x8a" + bytes([0x80 | len(text)]) + bytes(4) + text)
                return
            raise ConnectionError(f"A frame of type {head:#x}: {text!r}")
        client.frames += 1
        before = client.state
        client.state = state = before.after(text)
        client.arrivals.append((now, state))
        if self.subscribe is None or not text.endswith(b'"}'):
            return
        _, found, cursor = text.rpartition(b'"cursor":"')
        if not found:
            return
        client.cursor = cursor[:-2]
        if client.phase == "joining" and client.cursor:
            client.phase = "live"
            self.current += 1
        if self.ack_after:
            client.unacknowledged += 1
            if client.unacknowledged >= self.ack_after:
                client.unacknowledged = 0
                client.socket.send(self.ack)


def session_key(number):
    """Of the session of a user of a template database (`bench.__main__`)."""
    return f"bench{number:027d}"


def masked(text):
    """A client's frame; the mask may be any, also one that leaves the text as it is."""
    data = text.encode()
    size = len(data)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + struct.pack(">H", size)
    return head + bytes(4) + data


def percentile(counts, share):
    """Of a counter of tenths of milliseconds, in milliseconds."""
    left = sum(counts.values()) * share
    for tenths in sorted(counts):
        left -= counts[tenths]
        if left <= 0:
            return tenths / 10
    return None


if __name__ == "__main__":
    Loop().run()
