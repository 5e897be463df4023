"""One websocket's way out, bounded.

A frame is written to the connection's transport where that is known (`databinding.servers`), or
sent by calling its ASGI ``send`` and stepping the coroutine once: on a healthy connection that
completes at once, and no task is made. If it suspends, because the client doesn't read, a task
sees it through, and until then nothing else is sent: subscriptions wait (they keep no queue, only
the number they were told last), replies wait in a short line.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from types import CoroutineType, MethodType, coroutine
from typing import Any, Protocol

from channels.sessions import InstanceSessionWrapper

from databinding.conf import settings
from databinding.protocol import CloseCode
from databinding.servers import Taker, text_frame, wire_of
from databinding.tally import HubTally

logger = logging.getLogger("databinding")

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: An awaitable that is driven by hand.
Steps = Generator[Any, Any, None] | Coroutine[Any, Any, None]

#: What servers raise from ``send`` once the client has gone (uvicorn: OSError).
_GONE = (OSError, RuntimeError)


class Sender(Protocol):
    """What goes on sending when the client reads again."""

    classic: bool

    def deliver(self) -> None: ...


class Connection:
    """Sends text frames of one websocket, in its event loop."""

    __slots__ = (
        "_loop",
        "_owner",
        "_replies",
        "_room",
        "_send",
        "_tally",
        "_task",
        "_wire",
        "blocked",
        "closed",
        "ended",
        "subscriptions",
    )

    #: Replies that wait for a client to read before whoever sends more of them waits too.
    waiting_replies = 16

    def __init__(self, send: Send, tally: HubTally) -> None:
        self._send = _servers_own(send)
        self._wire = wire_of(self._send) if settings.PAST_ASGI else None
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        #: A frame is on its way and the client doesn't read.
        self.blocked = False
        self.closed = False
        #: Why whoever opened this was cancelled.
        self.ended: CloseCode | None = None
        self._owner = asyncio.current_task()
        #: In the order of their turns, where the client takes one frame at a time.
        self.subscriptions: dict[Sender, None] = {}
        # Made when they are needed, which for most connections is never.
        self._replies: list[str] = []
        self._room: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def transmit(self, text: str, frame: bytes | None = None) -> None:
        """Send a text, as this frame if it was made for several. Only while not `blocked`."""
        if self.closed:
            return
        self._tally.frames += 1
        if self._wire is not None:
            try:
                if self._wire.write(frame or text_frame(text)):
                    return
            except Exception as error:
                self._failed(error)
                return
        sending = self._send({"type": "websocket.send", "text": text})
        # Servers' sends are coroutines, which needn't be asked for an iterator.
        steps = sending if type(sending) is CoroutineType else sending.__await__()
        try:
            suspended = steps.send(None)
        except StopIteration:
            return
        except Exception as error:
            self._failed(error)
            return
        self.blocked = True
        self._task = self._loop.create_task(self._see_through(steps, suspended))
        if any(subscription.classic for subscription in self.subscriptions):
            self._give_up_after(settings.SEND_TIMEOUT, self._task)

    def tap(self, receive: Any, take: Taker) -> None:
        """Show what comes to `take` first, where that can be done (`databinding.servers`)."""
        if self._wire is not None:
            self._wire.tap(receive, take)

    async def reply(self, text: str) -> None:
        """Send a frame as soon as the client reads; returns early while the line is short."""
        self.send_soon(text)
        if self._room is not None:
            await self._room.wait()

    def send_soon(self, text: str) -> None:
        """As `reply`, for who can't wait."""
        if not self.blocked:
            self.transmit(text)
            return
        self._replies.append(text)
        if len(self._replies) >= self.waiting_replies and self._room is None:
            self._room = asyncio.Event()

    def pong(self, text: str) -> None:
        """Answer a heartbeat, unless the client doesn't read anyway."""
        if not self.blocked:
            self.transmit(text)

    @property
    def waiting(self) -> int:
        """Replies that wait until the client reads."""
        return len(self._replies)

    def stop(self) -> None:
        """The socket is gone: nothing more is sent, and nobody waits."""
        self.closed = True
        self.blocked = False
        self._replies.clear()
        self._make_room()
        if self._wire is not None:
            self._wire.untap()
        if self._task is not None:
            self._task.cancel()

    def _make_room(self) -> None:
        """Whoever waits with a reply waits no longer."""
        if self._room is not None:
            self._room.set()
            self._room = None

    async def _see_through(self, steps: Steps, suspended: Any) -> None:
        try:
            await _continue(steps, suspended)
        except Exception as error:
            self._failed(error)
        self.blocked = False
        self._task = None
        while self._replies and not self.blocked:
            self.transmit(self._replies.pop(0))
        if len(self._replies) < self.waiting_replies:
            self._make_room()
        for subscription in list(self.subscriptions):
            if self.blocked:
                break
            if subscription in self.subscriptions:
                # One that always has news must not always be the first.
                self.subscriptions[subscription] = self.subscriptions.pop(subscription)
                subscription.deliver()

    def _give_up_after(self, seconds: float, task: asyncio.Task[None]) -> None:
        """A classic client has no acks: one that doesn't read is closed at last."""

        def give_up() -> None:
            if self._task is task:
                logger.info("Closing a classic client that doesn't read.")
                self.end(CloseCode.NOT_READING)

        self._loop.call_later(seconds, give_up)

    def end(self, code: CloseCode) -> None:
        """Send nothing more; whoever opened this is cancelled, and closes the socket."""
        if self.ended is None:
            self.stop()
            self.ended = code
            if self._owner is not None:
                self._owner.cancel()

    def _failed(self, error: Exception) -> None:
        # Whatever a server raises, it concerns this connection alone.
        if not isinstance(error, _GONE):
            logger.error("Sending to a websocket failed.", exc_info=error)
        self.closed = True


def _servers_own(send: Send) -> Send:
    """Past Channels' session middleware.

    It looks into the session at every frame, for half of what the server takes to send one, and
    acts on the beginning of HTTP responses alone.
    """
    while isinstance(send, MethodType) and send.__func__ is InstanceSessionWrapper.send:
        wrapper: Any = send.__self__
        if "websocket.send" in wrapper.save_message_types:
            break
        send = wrapper.real_send
    return send


@coroutine
def _continue(steps: Steps, suspended: Any) -> Generator[Any, Any, None]:
    """Await the rest of an awaitable that was stepped once and gave ``suspended``."""
    while True:
        try:
            sent = yield suspended
        except BaseException as error:
            try:
                suspended = steps.throw(error)
            except StopIteration:
                return
        else:
            try:
                suspended = steps.send(sent)
            except StopIteration:
                return
