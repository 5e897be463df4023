"""A client of real servers, over real websockets, that holds them to the rules of the wire.

It reconnects by itself, to whichever server, and resumes, as a page does; what it is told to do
besides is in `databinding.testing.program`.

It shares the applying of frames with `databinding.client` (see `copy`), but not the connection:
that one must never be caught stalling, withholding acknowledgements or breaking off, and this one
is there to do so, and to take offence at what that one passes over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import Close
from websockets.typing import Subprotocol

from databinding import protocol
from databinding.difference import Key
from databinding.testing.arrivals import Arrivals
from databinding.testing.copy import BrokenRule, Copy
from databinding.testing.report import Report

#: Seconds until another attempt to connect, or to subscribe where the server said "later".
AGAIN = (0.02, 0.3)
#: Statuses that say "later".
LATER = (429, 503)
#: Codes that answer a client's own, and a server's that ends.
ORDERLY = (1000, 1001)
#: Frames that are shown with a violation.
SHOWN = 6

Broken = Callable[[str, Sequence[str]], None]


@dataclass(frozen=True)
class Visitor:
    """Who connects: the websocket's path, and the groups that the server puts it in there.

    `headers` go with the handshake, such as a session's cookie. `user` reads whom they stand for,
    as he is in the database now; the streams' `rows` are then asked for him.
    """

    path: str
    groups: frozenset[str]
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    user: Callable[[], Any] | None = None


class Client:
    """One page: a copy of each stream that outlives its connections."""

    def __init__(
        self,
        name: str,
        visitor: Visitor,
        copies: Mapping[str, Copy],
        urls: Sequence[str],
        report: Report,
        *,
        chance: Random,
        broken: Broken,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self.name = name
        self.visitor = visitor
        self.copies = copies
        #: Set after every frame.
        self.news = asyncio.Event()
        self._urls = urls
        self._report = report
        self._chance = chance
        self._broken = broken
        self._parameters = parameters or {}
        self._arrivals = arrivals
        self._reading = asyncio.Event()
        self._reading.set()
        self._acknowledging = True
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._later: set[asyncio.Task[None]] = set()
        self._frames: deque[str] = deque(maxlen=SHOWN)
        self._live: set[str] = set()

    # What is done to it

    async def connect(self) -> None:
        """Be connected from now on, to whichever server, again and again."""
        if self._task is None:
            self._task = asyncio.create_task(self._stay_connected())

    async def drop(self) -> None:
        """The connection breaks."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def leave(self) -> None:
        """The connection is closed in order, which waits for the server to agree."""
        if self._socket is not None:
            await self._socket.close()
        await self.end()

    async def stall(self) -> None:
        self._reading.clear()
        self._listens()

    async def withhold(self) -> None:
        self._acknowledging = False
        self._listens()

    async def go_on(self) -> None:
        self._reading.set()
        self._acknowledging = True
        self._listens()
        socket = self._socket
        with contextlib.suppress(WebSocketException):
            for stream in self.copies:
                # It may break meanwhile, and another begin.
                if socket is not None and socket is self._socket:
                    await self._acknowledge(socket, stream, at_least=1)

    def committed(self, pk: Key, number: int, at: float) -> None:
        """A stamp was committed then (see `Arrivals`)."""
        if self._arrivals is not None:
            self._arrivals.committed(pk, number, at)

    def last_frames(self) -> list[str]:
        return list(self._frames)

    async def end(self) -> None:
        """Be connected no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # What it does

    async def _stay_connected(self) -> None:
        while True:
            url = self._chance.choice(self._urls) + self.visitor.path
            try:
                await self._visit(url)
            except InvalidStatus as refused:
                self._report.faults[f"handshake refused ({refused.response.status_code})"] += 1
            except ConnectionClosed as closed:
                self._closed(closed.rcvd)
            except (OSError, TimeoutError, WebSocketException):
                pass  # Whoever was there is gone.
            except BrokenRule as error:
                self._tell(str(error))
            except Exception as error:
                self._tell(f"A frame that can't be understood ({error!r}).")
            await asyncio.sleep(self._chance.uniform(*AGAIN))

    async def _visit(self, url: str) -> None:
        socket = await connect(
            url,
            subprotocols=[Subprotocol(protocol.SUBPROTOCOL)],
            additional_headers=dict(self.visitor.headers),
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_size=None,
            max_queue=4,
            proxy=None,
        )
        self._report.connections += 1
        self._socket = socket
        try:
            for stream in self.copies:
                await self._subscribe(socket, stream)
            while True:
                await self._reading.wait()
                text = await socket.recv(decode=True)
                await self._reading.wait()
                self._frames.append(text)
                await self._take(socket, json.loads(text))
        finally:
            self._socket = None
            self._live.clear()
            self._listens()
            for task in self._later:
                task.cancel()
            socket.transport.abort()

    def _closed(self, close: Close | None) -> None:
        """The server said why; a connection that breaks says nothing."""
        if close is None or close.code in ORDERLY:
            return
        self._report.faults[f"closed by the server ({close.code})"] += 1
        if close.code not in frozenset(protocol.CloseCode) and "ping" not in close.reason:
            self._tell(f"The server closed the connection with {close.code} {close.reason!r}.")

    async def _subscribe(self, socket: ClientConnection, stream: str) -> None:
        copy = self.copies[stream]
        asked: dict[str, Any] = {"request_id": stream, **self._parameters.get(stream, {})}
        if copy.window is not None:
            asked["window"] = copy.window
        if copy.cursor is not None:
            asked["cursor"] = copy.cursor
        await self._send(socket, stream, protocol.SUBSCRIBE, asked)

    async def _send(
        self, socket: ClientConnection, stream: str, action: str, body: Mapping[str, Any]
    ) -> None:
        frame = {"stream": stream, "payload": {"action": action, **body}}
        await socket.send(protocol.encode(frame))

    async def _take(self, socket: ClientConnection, frame: Mapping[str, Any]) -> None:
        stream, payload = frame["stream"], frame["payload"]
        copy = self.copies.get(stream)
        if stream is None and payload["action"] == protocol.ERROR:
            # Of no stream's: who comes with credentials that are no good is told so, and closed.
            self._report.faults[f"turned away ({payload['response_status']})"] += 1
            return
        if copy is None or payload["action"] not in ("subscribe", "snapshot", "batch"):
            raise BrokenRule("Nobody asked for this.")
        if payload["action"] == protocol.SUBSCRIBE:
            await self._subscribed(socket, stream, payload)
        before = copy.delivered
        copy.take(frame)
        if payload["action"] == protocol.SUBSCRIBE:
            return
        self._report.frames += 1
        self._report.events += copy.delivered - before
        if copy.whole:
            self._live.add(stream)
            self._listens()
            if self._arrivals is not None and stream == self._arrivals.stream:
                self._arrivals.arrived(copy.rows, time.monotonic())
            self.news.set()
        await self._acknowledge(socket, stream)

    async def _subscribed(
        self, socket: ClientConnection, stream: str, payload: Mapping[str, Any]
    ) -> None:
        status = payload["response_status"]
        if status in LATER:
            self._report.faults[f"subscription refused ({status})"] += 1
            later = asyncio.create_task(self._subscribe_later(socket, stream))
            self._later.add(later)
            later.add_done_callback(self._later.discard)
        elif status != 200:
            raise BrokenRule(f"The subscription was refused with {status}.")
        elif payload["data"]["resumed"]:
            self._report.resumed += 1
        else:
            self._report.snapshots += 1

    async def _subscribe_later(self, socket: ClientConnection, stream: str) -> None:
        await asyncio.sleep(self._chance.uniform(*AGAIN))
        with contextlib.suppress(WebSocketException):
            await self._subscribe(socket, stream)

    async def _acknowledge(
        self, socket: ClientConnection, stream: str, at_least: int | None = None
    ) -> None:
        copy = self.copies[stream]
        if copy.window is None or not self._acknowledging:
            return
        if copy.unacknowledged >= (at_least or (copy.window + 1) // 2):
            await self._send(socket, stream, protocol.ACK, {"frames": copy.acknowledge()})

    def _listens(self) -> None:
        """Tell whoever measures whether what is committed now should arrive here soon."""
        if self._arrivals is not None:
            self._arrivals.listens(
                self._reading.is_set()
                and self._acknowledging
                and self._live == self.copies.keys()
                and self._socket is not None,
                time.monotonic(),
            )

    def _tell(self, what: str) -> None:
        self._broken(f"{self.name} at {self.visitor.path}: {what}", self.last_frames())
