"""One open websocket: its groups, its streams, and which of them are subscribed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser

from databinding import protocol
from databinding.binding import Binding
from databinding.conf import settings
from databinding.connection import Connection
from databinding.door import Door
from databinding.foreign import Foreign
from databinding.form import Form
from databinding.hub import running_hub
from databinding.identity import Scope, is_nobody
from databinding.inbound import BindingConsumer
from databinding.introduction import Introduction
from databinding.limits import TokenBucket, cost
from databinding.protocol import CloseCode, Closed, FrameError
from databinding.rights import Basis, Known, basis_for

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

logger = logging.getLogger("databinding")

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


def is_modern(scope: Any) -> bool:
    """Does the client subscribe, so that it wants no classic frames?"""
    return protocol.SUBPROTOCOL in scope.get("subprotocols", ())


def acceptance(scope: Any) -> dict[str, Any]:
    """The message that accepts a websocket, by the subprotocol that its client speaks."""
    accept: dict[str, Any] = {"type": "websocket.accept"}
    if is_modern(scope):
        accept["subprotocol"] = protocol.SUBPROTOCOL
    return accept


class Session:
    """Made by a demultiplexer for each of its connections.

    `consumers` are the demultiplexer's, `groups` what it says of this connection, and `regroup`
    what it says of it if its scope is another. `basis` is older than the groups.
    """

    def __init__(
        self,
        consumers: Mapping[str, Any],
        groups: frozenset[str],
        scope: Any,
        receive: Any,
        send: Any,
        regroup: Callable[[Scope], Awaitable[frozenset[str]]],
        basis: Basis,
    ) -> None:
        self.scope = scope
        self.consumers = consumers
        self.groups = groups
        self.hub = running_hub()
        self.connection = Connection(send, self.hub.tally)
        #: Requests that wait, on all streams.
        self.waiting = 0
        #: Subscriptions that are being made.
        self.joining = 0
        #: Something was asked of a stream, or the client has said who it is.
        self.begun = False
        # Most clients say nothing of who they are.
        self._introduction: Introduction | None = None
        self._regroup = regroup
        self.basis = basis
        self._asgi_receive = receive
        self._asgi_send = send
        self._opened = time.monotonic()
        self._pace = TokenBucket(settings.FRAME_RATE, settings.FRAME_BURST, self._opened)
        self.doors = self._doors()

    def _doors(self) -> dict[str, Door | Foreign]:
        """Those that something comes out of before anything is said; others are made then."""
        classic = not is_modern(self.scope)
        return {
            stream: self._door(stream, one)
            for stream, one in self.consumers.items()
            if classic or binding_of(one) is None
        }

    def _door_of(self, stream: str | None) -> Door | Foreign | None:
        door = None if stream is None else self.doors.get(stream)
        if door is None and stream is not None and stream in self.consumers:
            door = self.doors[stream] = self._door(stream, self.consumers[stream])
        return door

    def _door(self, stream: str, carried: Any) -> Door | Foreign:
        binding = binding_of(carried)
        if binding is None:
            return Foreign(self.scope, self.connection, stream, carried)
        consumer = carried if issubclass(carried, BindingConsumer) else None
        return Door(self, stream, binding, consumer)

    async def open(self) -> None:
        """Accept the connection and begin with its streams."""
        # Before the handshake ends: what changes after it is seen.
        await self._join_classic()
        await self._asgi_send(acceptance(self.scope))
        self.connection.tap(self._asgi_receive, self._take_ack)
        self.hub.open(self.connection)
        self.hub.vigil.add(self)
        for door in self.doors.values():
            door.start()

    async def _join_classic(self) -> None:
        if not is_modern(self.scope):
            await asyncio.gather(*(door.join_classic() for door in self._bound()))

    async def begin_anew(self, scope: Scope) -> None:
        """The client has said who it is: everything is as if the handshake had had that scope."""
        for door in self.doors.values():
            door.end()
        self.scope, self.basis = scope, await basis_for(scope)
        self.groups = await self._regroup(scope)
        self.hub.vigil.add(self)
        self._opened = time.monotonic()
        self.doors = self._doors()
        await self._join_classic()
        for door in self.doors.values():
            door.start()

    async def received(self, message: Mapping[str, Any]) -> None:
        """One frame of the client."""
        text = message.get("text")
        if text is None:
            data: bytes = message.get("bytes") or b""
            text = data.decode("utf-8", errors="replace")
        if self._acknowledged(protocol.acknowledged(text)):
            return  # What we sent has paid for it.
        if len(text) > settings.MAX_FRAME:
            raise Closed(CloseCode.TOO_BIG)
        fair = self._pace.take(cost(len(text)), time.monotonic())
        if not fair:
            self.hub.tally.limits["frames"] += 1
            if self._pace.exhausted:
                raise Closed(CloseCode.TOO_FAST)
        if text == protocol.PING:
            # Also to who is too fast: a heartbeat that isn't answered looks like a dead server.
            self.connection.pong(protocol.PONG)
            return
        try:
            await self._take(text, fair)
        except FrameError as error:
            await self.connection.reply(protocol.error_reply(error))

    def _take_ack(self, data: bytes) -> bool:
        """One frame of the client, if it acknowledges what is on its way: past `received`."""
        return self._acknowledged(protocol.acknowledged_by(data))

    def _acknowledged(self, ack: tuple[str, int] | None) -> bool:
        if ack is None:
            return False
        door = self.doors.get(ack[0])
        return isinstance(door, Door) and door.acknowledged(ack[1])

    async def _take(self, text: str, fair: bool) -> None:
        """A frame that came, fairly or too fast. Raises `FrameError`, or `Closed`."""
        try:
            stream, payload = protocol.parse(text)
        except FrameError:
            if not fair:
                raise self._too_fast() from None
            raise
        door = self._door_of(stream)
        if isinstance(door, Door) and door.is_acknowledged_by(payload):
            # What we sent has paid for it; and a window must not stay shut.
            self._pace.give_back(cost(len(text)))
        elif not fair:
            raise self._too_fast(stream if door is not None else None, payload)
        if stream is None:
            if self._introduction is None:
                self._introduction = Introduction(self)
            await self._introduction.received(payload)
            return
        self.begun = True
        if door is None:
            raise _unknown_stream(payload)
        door.received(payload)

    def _too_fast(self, stream: str | None = None, payload: Any = None) -> FrameError:
        action, request_id = _named_in(payload)
        return FrameError(
            429,
            "Too many frames came too fast.",
            stream=stream,
            action=action,
            request_id=request_id,
            retry_after=self._pace.wait(),
        )

    def known_user(self) -> AbstractBaseUser | AnonymousUser | None:
        """Who this is, if the handshake has found that only just now, or nothing could tell.

        On the rights of one who is authenticated the connection rests already.
        """
        if "session" in self.scope and time.monotonic() - self._opened <= FRESH:
            user: AbstractBaseUser | AnonymousUser | None = self.scope.get("user")
            return user
        return AnonymousUser() if is_nobody(self.scope) else None

    def over(self) -> None:
        """The session has ended, or its user may not be here any more."""
        self.connection.end(CloseCode.SESSION_OVER)

    def unsure(self) -> None:
        """Who it is can't be told; the handshake of who comes back asks anew."""
        self.connection.end(CloseCode.RESTART)

    async def renew(self, known: Known) -> None:
        """The user's rights have changed: show him what he may see now."""
        self.basis.renew(known)
        self.scope = {**self.scope, "user": known.user}
        told = False
        try:
            self.groups = await self._regroup(self.scope)
            told = True
        except Closed:
            # It hasn't done anything itself: it isn't closed, but asked anew.
            logger.warning(
                "A connection is in no groups for a while: they are asked for too often."
            )
        except Exception:
            logger.exception("The groups of a connection can't be told.")
        if not told:
            # What a user in no groups may see, until it can be told which they are.
            self.groups = frozenset()
        for door in self._bound():
            await door.renew()
        if not told:
            self.basis.doubt()

    def forms(self) -> list[Form]:
        """In which something is shown."""
        return [form for door in self._bound() for form in door.forms()]

    def end_classic(self) -> None:
        """The first subscription ends classic frames on all streams: nothing comes twice."""
        for door in self._bound():
            door.end_classic()

    async def close(self) -> None:
        self.hub.vigil.discard(self)
        self.hub.close(self.connection)
        self.connection.stop()
        if self._introduction is not None:
            self._introduction.end()
        # At once, whatever becomes of this coroutine: subscriptions keep rows in memory.
        tasks = [task for door in self.doors.values() if (task := door.end()) is not None]
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=PATIENCE)
            for task in unfinished:
                task.cancel()
        # They know this: else Python's garbage collector would have to find all that there was of
        # a connection, and hold the loop for as long as that takes where many have gone.
        self.doors.clear()
        self._introduction = None

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


def _unknown_stream(payload: Any) -> FrameError:
    """The answer to a frame for a stream that isn't: tied to none, but to its request."""
    action, request_id = _named_in(payload)
    return FrameError(404, "There is no such stream.", action=action, request_id=request_id)


def _named_in(payload: Any) -> tuple[str, Any]:
    """Action and `request_id` of a frame that isn't worked on, as far as it has them."""
    try:
        request = protocol.request("", payload)
    except FrameError:
        return protocol.ERROR, None
    return request.action, request.request_id
