"""A process that attacks a server of the project, and says what it was answered.

    python -m tests.hostile.attackers '{"url": "ws://127.0.0.1:8000", "frames": 5000, "seed": 7}'

So many connections at a time, each with a way of its own to misbehave, until so many frames were
sent. It prints what it saw as JSON.
"""

import asyncio
import contextlib
import json
import logging
import os
import struct
import sys
import time
from collections import Counter
from random import Random

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

#: Frames a second of one that means to stay below the limit.
STEADILY = 90
#: Frames that are too many at once, whatever a second may have: more than twice FRAME_BURST.
AT_ONCE = 700
#: Frames that one connection sends at most.
MOST = 1_500
#: Seconds after which a connection that says nothing any more is given up.
PATIENCE = 10
#: Bytes that are claimed to come.
CLAIMED = 2**40


class Attack:
    """What all connections share: how many frames are left, and what they have seen."""

    def __init__(self, url, frames, seed, connections=12):
        self.url = url
        self.left = frames
        self.connections = connections
        self.chance = Random(seed)
        #: Each way is gone once, whatever chance says.
        self.first = list(dict.fromkeys(Visit.WAYS))
        self.seen = {"statuses": Counter(), "closed": Counter(), "ways": Counter(), "sent": 0}
        self.wrong = []
        self.grammars = {
            "/stream/": self._grammar(dashboard.Demultiplexer),
            "/chat/lobby/": self._grammar(chat.Demultiplexer),
            "/chat/attic/": self._grammar(chat.Demultiplexer),
        }

    def _grammar(self, demultiplexer):
        return Grammar(demultiplexer, Random(self.chance.random()))

    async def run(self):
        began = time.monotonic()
        await asyncio.gather(*(self._worker() for _ in range(self.connections)))
        self.seen["seconds"] = time.monotonic() - began
        return self.seen | {"wrong": self.wrong[:5]}

    async def _worker(self):
        while self.left > 0:
            path = self.chance.choice(list(self.grammars))
            way = self.first.pop() if self.first else self.chance.choice(Visit.WAYS)
            self.seen["ways"][way.__name__] += 1
            self.left -= 1  # Also where nobody answers it comes to an end.
            visit = Visit(self, path)
            try:
                async with asyncio.timeout(MOST / STEADILY + PATIENCE):
                    await visit.do(way)
            except (OSError, EOFError, TimeoutError, WebSocketException) as error:
                self.seen["closed"][type(error).__name__] += 1
            finally:
                visit.abort()


class Visit:
    """One connection."""

    def __init__(self, attack, path):
        self.attack = attack
        self.chance = attack.chance
        self.grammar = attack.grammars[path]
        self.uri = parse_uri(attack.url + path)
        self.writer = None
        self.answered, self.over = asyncio.Event(), asyncio.Event()
        self.reading = None

    async def do(self, way):
        self.reader, self.writer = await asyncio.open_connection(self.uri.host, self.uri.port)
        await way(self)

    def abort(self):
        if self.reading is not None:
            self.reading.cancel()
        if self.writer is not None:
            self.writer.transport.abort()

    async def _open(self):
        subprotocols = self.chance.choice((["databinding"], ["x", "databinding"], None))
        self.protocol = ClientProtocol(self.uri, subprotocols=subprotocols, max_size=None)
        self.protocol.send_request(self.protocol.connect())
        self._post()
        self.reading = asyncio.create_task(self._read())
        await self.answered.wait()

    def _post(self):
        for data in self.protocol.data_to_send():
            if data:
                self.writer.write(data)

    async def _read(self):
        try:
            while data := await self.reader.read(65536):
                self.protocol.receive_data(data)
                self._post()
                for event in self.protocol.events_received():
                    self.answered.set()
                    self._take(event)
                    if not isinstance(event, Response):
                        self._learn(event)
        except OSError:
            pass
        finally:
            self.answered.set()
            self.over.set()

    def _take(self, event):
        """What the server says must be right, whatever it was told."""
        seen = self.attack.seen
        if isinstance(event, Response):
            seen["closed" if event.status_code != 101 else "statuses"][
                f"HTTP {event.status_code}"
            ] += 1
        elif event.opcode is Opcode.CLOSE:
            seen["closed"][str(Close.parse(event.data).code if event.data else 1005)] += 1
        elif event.opcode is Opcode.TEXT and event.data != b"pong!":
            payload = json.loads(event.data)["payload"]
            status = payload.get("response_status")
            if status is not None:
                seen["statuses"][str(status)] += 1
            if status == 500:
                self.attack.wrong.append(event.data.decode()[:500])

    def _learn(self, event):
        """Cursors and keys are good for forging others."""
        if event.opcode is not Opcode.TEXT or event.data == b"pong!":
            return
        frame = json.loads(event.data)
        if frame.get("cursor") and len(self.grammar.cursors) < 50:
            self.grammar.cursors.append(frame["cursor"])

    def _send(self, frame):
        self.attack.left -= 1
        self.attack.seen["sent"] += 1
        with contextlib.suppress(WebSocketException):
            if isinstance(frame, bytes):
                self.protocol.send_binary(frame)
            else:
                self.protocol.send_text(frame.encode())
        self._post()

    def _going_on(self, number):
        return self.attack.left > 0 and not self.over.is_set() and number < self.most

    @property
    def most(self):
        return MOST

    # Ways to misbehave

    async def steadily(self):
        """Hostile frames, just as many as are allowed."""
        await self._open()
        number, began = 0, time.monotonic()
        while self._going_on(number):
            self._send(self.grammar.frame())
            number += 1
            ahead = number / STEADILY - (time.monotonic() - began)
            await asyncio.sleep(max(0, ahead))
            await self.writer.drain()

    async def flooding(self):
        """Hostile frames, as fast as they go, until it is over."""
        await self._open()
        number = 0
        while self._going_on(number):
            self._send(self.grammar.frame())
            number += 1
            if number % 20 == 0:
                await self.writer.drain()
                await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), PATIENCE)

    async def pinging(self):
        """Heartbeats, as fast as they go; the first come at once, however slow this process is."""
        await self._open()
        number = 0
        while number < AT_ONCE:
            self.protocol.send_text(b"ping")
            number += 1
        self.attack.left -= number
        self.attack.seen["sent"] += number
        self.writer.write(b"".join(self.protocol.data_to_send()))
        await self.writer.drain()
        while self._going_on(number):
            self._send("ping")
            number += 1
            if number % 50 == 0:
                await self.writer.drain()
                await asyncio.sleep(0)

    async def not_reading(self):
        """Requests, and no ear for their answers."""
        await self._open()
        self.reading.cancel()
        number = 0
        while self._going_on(number) and number < 300:
            self._send(json.dumps(self.grammar.right()))
            number += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.writer.drain(), 1)

    async def vanishing(self):
        """Gone in the middle of what was asked."""
        await self._open()
        for _ in range(self.chance.randrange(20)):
            self._send(json.dumps(self.grammar.right()))
        await self.writer.drain()

    async def half(self):
        """The beginning of a frame, and then nothing; or a claim of more than anybody takes."""
        await self._open()
        length = self.chance.choice((struct.pack("!BBH", 0x81, 0xFE, 5_000),))
        claimed = struct.pack("!BBQ", 0x81, 0xFF, CLAIMED)
        self.writer.write(self.chance.choice((length, claimed)) + b"mask" + b"x" * 100)
        await self.writer.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), 0.5)

    async def in_pieces(self):
        """One message of very many fragments."""
        await self._open()
        first = Frame(Opcode.TEXT, b'{"stream":"', fin=False)
        self.writer.write(first.serialize(mask=True))
        for _ in range(2_000):
            piece = Frame(Opcode.CONT, b"x" * self.chance.randrange(300), fin=False)
            self.writer.write(piece.serialize(mask=True))
            if self.over.is_set():
                break
        await self.writer.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), 0.5)

    async def against_the_rules(self):
        """What is no websocket frame: reserved bits, no mask, text that isn't UTF-8, noise."""
        await self._open()
        frame = Frame(Opcode.TEXT, b'{"stream":"intval"}')
        self.writer.write(
            self.chance.choice(
                (
                    frame.serialize(mask=False),
                    Frame(Opcode.TEXT, b"\xff\xfe\xed\xa0\x80").serialize(mask=True),
                    Frame(Opcode.TEXT, frame.data, rsv1=True).serialize(mask=True),
                    b"\x8b\x80mask",
                    b"\x88\x81mask\0",
                    self.chance.randbytes(500),
                    b"GET / HTTP/1.1\r\n\r\n",
                )
            )
        )
        await self.writer.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), 0.5)

    async def handshakes(self):
        """Handshakes of foreign pages, of nobody, with too much in them, and without an end."""
        head = f"GET {self.uri.path} HTTP/1.1\r\nHost: {self.uri.host}\r\n"
        upgrade = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        )
        self.writer.write(
            self.chance.choice(
                (
                    head + upgrade + "Origin: https://evil.example\r\n\r\n",
                    head + upgrade + "Origin: null\r\n\r\n",
                    head + upgrade + "Origin: http://[\r\n\r\n",
                    head + upgrade + "Cookie: sessionid=" + "x" * 500 + "\r\n\r\n",
                    head + upgrade + "Cookie: sessionid=\udcff\udcfe\r\n\r\n",
                    head + upgrade + "X-Forwarded-For: 192.0.2.1, \udcff\r\n\r\n",
                    head + upgrade + "Sec-WebSocket-Protocol: " + "a, " * 500 + "b\r\n\r\n",
                    head + upgrade.replace("Version: 13", "Version: 99") + "\r\n",
                    head + upgrade,
                    "GET /stream/%00%ff/ HTTP/1.1\r\nHost: x\r\n" + upgrade + "\r\n",
                )
            ).encode("utf-8", "surrogateescape")
        )
        await self.writer.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.reader.read(1000), 0.5)

    #: Most of them are those that send frames.
    WAYS = (
        *(steadily,) * 10,
        *(flooding,) * 3,
        *(pinging, not_reading, vanishing, half, in_pieces, against_the_rules, handshakes),
    )


if __name__ == "__main__":
    import django

    django.setup()
    from chat import consumers as chat
    from dashboard import consumers as dashboard
    from tests.hostile.grammar import Grammar

    logging.disable()
    os.nice(10)  # They are elsewhere: the server's own machine has only the server to do.
    print(json.dumps(asyncio.run(Attack(**json.loads(sys.argv[1])).run())))
