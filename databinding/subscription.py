"""One connection's place in an audience: how far it was told, and how much it may be sent.

There is no queue of events. A subscription knows the number up to which its client was told;
whenever it may send, it sends the difference from there to now. So a client that can't keep up
gets fewer frames with the latest states, and never a backlog.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from databinding.audience import Chunk, Frames, Text
from databinding.connection import Connection
from databinding.hub import Busy, Hub
from databinding.passes import Joined, Page
from databinding.relay import DatabaseAway, Relay

logger = logging.getLogger("databinding")


class Subscription:
    """A stream of one connection, which has a place in an audience until `end`. `start` it.

    With a ``window``, at most so many of its frames are unacknowledged at a time.
    """

    #: Seconds until another try while the relay applies news.
    BUSY = 0.005
    #: Seconds until another try where a snapshot is needed and can't be read: at first, at most.
    AWAY, AWAY_MOST = 1.0, 60.0
    #: Frames sent at once before other connections have their turn.
    BURST = 16
    #: Replies that wait for a window before whoever sends more of them waits too.
    WAITING_REPLIES = 16

    # Together, for a delivery to look at little.
    __slots__ = (
        "_fetching",
        "_going_on",
        "_in_step",
        "_left",
        "_replies",
        "_rest",
        "_room",
        "_target",
        "_texts",
        "_user",
        "audience",
        "classic",
        "connection",
        "ended",
        "hub",
        "in_flight",
        "number",
        "relay",
        "stream",
        "window",
    )

    def __init__(
        self,
        hub: Hub,
        relay: Relay,
        connection: Connection,
        stream: str,
        joined: Joined,
        *,
        window: int | None = None,
        classic: bool = False,
    ) -> None:
        self.hub = hub
        self.connection = connection
        self.stream = stream
        self.relay = relay
        self.audience = joined.audience
        self._user = joined.user
        self.window = window
        self.classic = classic
        self.in_flight = 0
        self.ended = False
        self._left = False
        #: The client was sent everything up to this number.
        self.number = joined.frames.number
        # Frames to be sent next, the first of them last, and what is to follow them if they begin a
        # snapshot; with the last of them the client is at `_target`. (Lists, since a deque that is
        # empty takes 0.7 KiB, and these mostly are.)
        self._texts: list[Text] = [(text, None) for text in reversed(joined.frames.texts)]
        self._rest: Chunk | Page | None = joined.rest
        self._target = joined.frames.number
        self._replies: list[tuple[int, str]] = []
        self._room: asyncio.Event | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._going_on: asyncio.TimerHandle | None = None
        #: Nothing is to be sent before the next news; False: that isn't known.
        self._in_step = False

    def start(self) -> None:
        if self.ended:
            return
        self.hub.add(self)
        self.connection.subscriptions[self] = None
        self.deliver()

    def end(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._in_step = False
        self.hub.remove(self)
        self.leave()
        self.connection.subscriptions.pop(self, None)
        self._texts.clear()
        self._rest = None
        if self._going_on is not None:
            self._going_on.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
        for _, text in self._replies:
            self.connection.send_soon(text)
        self._replies.clear()
        self._make_room()

    def leave(self) -> None:
        """Give the place in the audience back, once."""
        if not self._left:
            self._left = True
            self.relay.leave(self.audience, (self.stream, self.classic), self._user)

    @property
    def loading(self) -> bool:
        """Is a snapshot on its way?"""
        return self._fetching is not None or self._rest is not None or bool(self._texts)

    async def outdated(self) -> bool:
        """Is what is on its way of rows that are others by now, as far as its user is concerned?

        Raises `databinding.relay.DatabaseAway`.
        """
        if not self.loading or not self.audience.form.personal:
            return False
        await self.hub.ask(self.relay, lambda this: None)
        return self.loading and self.audience.number > self._target

    @property
    def held_back(self) -> bool:
        """Does it wait for its client to acknowledge frames?"""
        return self.window is not None and self.in_flight >= self.window

    def ack(self, frames: int) -> None:
        """The client has painted so many frames."""
        held_back = self.held_back
        self.in_flight = max(0, self.in_flight - frames)
        if held_back:
            self.deliver()

    def push(self, text: str, frame: bytes | None, number: int) -> bool:
        """Send the one frame that leads from `number` to this one, if nothing is to come before it
        and the client may be sent it now; else nothing is done, and `deliver` is for what may be.
        """
        if not self._in_step:
            self._in_step = not (self.loading or self._replies or self.ended)
            if not self._in_step:
                return False
        connection = self.connection
        if connection.blocked or connection.closed:
            return False
        if self.window is not None and self.in_flight >= self.window:
            return False
        self.in_flight += 1
        self.number = number
        connection.transmit(text, frame)
        return True

    def deliver(self) -> None:
        """Send what may be sent."""
        self._going_on = None
        sent = 0
        while not (self.ended or self.connection.blocked or self.connection.closed):
            if self._fetching is not None and not self._texts:
                return
            if self.held_back:
                return
            if self._texts:
                sent += 1
                if sent > self.BURST:
                    # Others want to be served, too.
                    self._go_on_after(0)
                    return
                self.in_flight += 1
                self.connection.transmit(*self._texts.pop())
                if not self._texts and self._rest is None:
                    self._told()
            elif isinstance(self._rest, Page):
                self._fetch(self._next_page)
            elif self._rest is not None:
                made, self._rest = self._rest.frame()
                self._texts.insert(0, made)
            elif not self._next_frames():
                return

    def deliver_cursor(self) -> None:
        """Send a fresh cursor, if there is nothing else to send."""
        if self.ended or self.classic or self.loading:
            return
        try:
            frames = self.hub.cursor_batch(self)
        except Busy:
            self.hub.loop.call_later(self.BUSY, self.deliver_cursor)
            return
        if frames is not None:
            self._send(frames)
            self.deliver()

    async def reply(self, text: str) -> None:
        """Send a reply after everything that the audience has news of by now.

        Returns early while few replies wait; else when the client has acknowledged enough.
        """
        number = self.audience.number
        if self.ended or (number <= self.number and not self.loading):
            self.connection.send_soon(text)
        else:
            self._replies.append((number, text))
            self._in_step = False
            self.deliver()
            if len(self._replies) >= self.WAITING_REPLIES:
                if self._room is None:
                    self._room = asyncio.Event()
                await self._room.wait()

    def _next_frames(self) -> bool:
        try:
            frames = self.hub.frames(self)
        except Busy:
            self._go_on_after(self.BUSY)
            return False
        if frames is None:
            self._fetch(self._snapshot)
            return True
        if frames.texts:
            self._send(frames)
            return True
        self.number = frames.number
        return False

    def _send(self, frames: Frames) -> None:
        self.hub.tally.events += frames.events
        self._texts[:0] = [(text, None) for text in reversed(frames.texts)]
        self._in_step = False
        self._target = frames.number

    def _told(self) -> None:
        """The last of the frames to `_target` was sent."""
        self.number = self._target
        while self._replies and self._replies[0][0] <= self.number:
            self.connection.send_soon(self._replies.pop(0)[1])
        if len(self._replies) < self.WAITING_REPLIES:
            self._make_room()

    def _make_room(self) -> None:
        """Whoever waits with a reply waits no longer."""
        if self._room is not None:
            self._room.set()
            self._room = None

    def _go_on_after(self, seconds: float) -> None:
        if self._going_on is None:
            self._going_on = self.hub.loop.call_later(seconds, self.deliver)

    # Snapshots that memory can't give

    def _fetch(self, work: Callable[[], Awaitable[None]]) -> None:
        self._in_step = False
        self._fetching = self.hub.loop.create_task(self._do_fetch(work))

    async def _do_fetch(self, work: Callable[[], Awaitable[None]]) -> None:
        pause = self.AWAY
        while True:
            try:
                await work()
                break
            except DatabaseAway:
                await asyncio.sleep(self.AWAY)
            except Exception:
                logger.exception("Stream %s: its snapshot can't be read.", self.stream)
                await asyncio.sleep(pause)
                pause = min(self.AWAY_MOST, 2 * pause)
        self._fetching = None
        self.deliver()

    async def _snapshot(self) -> None:
        joined = await self.hub.ask(
            self.relay, lambda this: this.snapshot(self.audience, self.stream)
        )
        self.hub.tally.snapshots += 1
        self._rest = joined.rest
        self._send(joined.frames)

    async def _next_page(self) -> None:
        page = self._rest
        assert isinstance(page, Page)
        text, self._rest = await self.hub.ask(
            self.relay, lambda this: this.page(self.audience, self.stream, page)
        )
        self._texts.insert(0, (text, None))
