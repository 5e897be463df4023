"""One open websocket: its groups, its streams, and which of them are subscribed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from databinding import protocol
from databinding.binding import Binding
from databinding.conf import settings
from databinding.connection import Connection
from databinding.door import Door
from databinding.foreign import Foreign
from databinding.hub import running_hub
from databinding.inbound import BindingConsumer
from databinding.protocol import CloseCode, FrameError

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

#: Seconds that other consumers have to end after their client has gone.
PATIENCE = 5.0
#: Seconds for which subscriptions go by the user that the handshake has found by its session. A
#: crowd that comes back, each with several streams, isn't looked up for each of them once more.
FRESH = 1.0


def binding_of(carried: Any) -> type[Binding] | None:
    """The binding that an entry of a demultiplexer's `consumers` stands for, if it does."""
    if isinstance(carried, type) and issubclass(carried, Binding):
        return carried
    if isinstance(carried, type) and issubclass(carried, BindingConsumer):
        return carried.binding
    return None


class Closed(Exception):
    """A limit was overstepped that closes the socket."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


class Session:
    """Made by a demultiplexer for each of its connections.

    `consumers` are the demultiplexer's, `groups` what it says of this connection.
    """

    def __init__(
        self, consumers: Mapping[str, Any], groups: frozenset[str], scope: Any, send: Any
    ) -> None:
        self.scope = scope
        self.groups = groups
        self.hub = running_hub()
        self.connection = Connection(send, self.hub.tally)
        #: Requests that wait, on all streams.
        self.waiting = 0
        #: Subscriptions that are being made.
        self.joining = 0
        self._asgi_send = send
        self._opened = time.monotonic()
        self.doors = {stream: self._door(stream, one) for stream, one in consumers.items()}

    def _door(self, stream: str, carried: Any) -> Door | Foreign:
        binding = binding_of(carried)
        if binding is None:
            return Foreign(self.scope, self.connection, stream, carried)
        consumer = carried if issubclass(carried, BindingConsumer) else None
        return Door(self, stream, binding, consumer)

    async def open(self) -> None:
        """Accept the connection and begin with its streams."""
        modern = protocol.SUBPROTOCOL in self.scope.get("subprotocols", ())
        if not modern:
            # Before the handshake ends: what changes after it is seen.
            await asyncio.gather(*(door.join_classic() for door in self._bound()))
        accept: dict[str, Any] = {"type": "websocket.accept"}
        if modern:
            accept["subprotocol"] = protocol.SUBPROTOCOL
        await self._asgi_send(accept)
        self.hub.open(self.connection)
        for door in self.doors.values():
            door.start()

    async def received(self, message: Mapping[str, Any]) -> None:
        """One frame of the client."""
        text = message.get("text")
        if text is None:
            data: bytes = message.get("bytes") or b""
            text = data.decode("utf-8", errors="replace")
        if text == protocol.PING:
            self.connection.pong(protocol.PONG)
            return
        if len(text) > settings.MAX_FRAME:
            raise Closed(CloseCode.TOO_BIG)
        try:
            stream, payload = protocol.parse(text)
            door = self.doors.get(stream)
            if door is None:
                raise _unknown_stream(stream, payload)
            door.received(payload)
        except FrameError as error:
            await self.connection.reply(protocol.error_reply(error))

    def known_user(self) -> AbstractBaseUser | AnonymousUser | None:
        """Who this is, if the handshake has found that only just now."""
        if "session" not in self.scope or time.monotonic() - self._opened > FRESH:
            return None
        user: AbstractBaseUser | AnonymousUser | None = self.scope.get("user")
        return user

    def end_classic(self) -> None:
        """The first subscription ends classic frames on all streams: nothing comes twice."""
        for door in self._bound():
            door.end_classic()

    async def close(self) -> None:
        self.hub.close(self.connection)
        self.connection.stop()
        # At once, whatever becomes of this coroutine: subscriptions keep rows in memory.
        tasks = [task for door in self.doors.values() if (task := door.end()) is not None]
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=PATIENCE)
            for task in unfinished:
                task.cancel()

    def count(self) -> int:
        """Subscriptions of this connection, and those being made."""
        return self.joining + sum(door.subscription is not None for door in self._bound())

    def snapshots(self) -> int:
        """Subscriptions that are getting a snapshot, or about to."""
        return self.joining + sum(
            door.subscription is not None and door.subscription.loading for door in self._bound()
        )

    def _bound(self) -> list[Door]:
        return [door for door in self.doors.values() if isinstance(door, Door)]


def _unknown_stream(stream: str, payload: Any) -> FrameError:
    """The answer to a frame for a stream that isn't: tied to none, but to its request."""
    try:
        request = protocol.request(stream, payload)
    except FrameError:
        request = protocol.Request(protocol.ERROR, None, {})
    return FrameError(
        404,
        "There is no such stream.",
        action=request.action,
        request_id=request.request_id,
    )
