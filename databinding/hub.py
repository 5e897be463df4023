"""Delivery in one event loop: relays tell it of news, it has its subscriptions deliver.

There is one hub for each event loop of a process, since a connection belongs to a loop; what is
delivered is made once for all loops (`databinding.audience`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from databinding.audience import Audience, Frames
from databinding.connection import Connection
from databinding.form import Form
from databinding.passes import Joined, Pass
from databinding.relay import DatabaseAway, Relay, Wants, relay_for
from databinding.servers import text_frame
from databinding.tally import HubTally
from databinding.vigil import Vigil

logger = logging.getLogger("databinding")

T = TypeVar("T")


class Subscriber(Protocol):
    """What a hub delivers to; `databinding.subscription` is the one there is."""

    relay: Relay
    audience: Audience
    stream: str
    classic: bool
    number: int

    @property
    def held_back(self) -> bool: ...

    def push(self, text: str, frame: bytes | None, number: int) -> bool: ...

    def deliver(self) -> None: ...

    def deliver_cursor(self) -> None: ...

    def leave(self) -> None: ...


class _Round(NamedTuple):
    """News on their way to an audience: who is still to come, and since when they wait."""

    audience: Audience
    members: Iterator[Subscriber]
    told: float


class Busy(Exception):
    """The relay is at it; try again in a moment."""


class Hub:
    """The subscriptions of one event loop, by audience. Get it by `running_hub`."""

    #: Seconds between looks whether the relay that is waited for hangs.
    LOOK = 0.5
    #: Seconds of sending before whatever else the loop has to do gets its turn, and after how many
    #: subscriptions the clock is looked at.
    SLICE, LOOK_AFTER = 0.004, 32
    #: Who are let join or leave in one turn of the loop: each has much to do.
    AT_ONCE = 16

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.tally = HubTally()
        #: Looks whether connections' rights have changed.
        self.vigil = Vigil(loop)
        self._connections: set[Connection] = set()
        self._subscriptions: dict[Audience, set[Subscriber]] = {}
        #: Seconds that it took to send the last news to all who may be sent them.
        self.took = 0.0
        # Audiences with news that aren't begun with, and since when; the one that is being served;
        # whether that goes on in a moment, and what it has taken by now.
        self._news: dict[Audience, float] = {}
        self._serving: _Round | None = None
        self._at_it = False
        self._spent = 0.0
        # What relays were asked and haven't answered; when it is looked whether one hangs.
        self._asked: set[_Asked[Any]] = set()
        self._looking: asyncio.TimerHandle | None = None
        # Those of them whose answer is there, to be told; whether they are about to be.
        self._answered: deque[_Asked[Any]] = deque()
        self._telling = False
        # Who wait for their turn, and how many have had theirs.
        self._in_line: deque[asyncio.Future[None]] = deque()
        self._let_through = 0

    # Called in any thread

    def connections(self) -> list[Connection]:
        """The open ones."""
        return list(self._connections)

    def subscriptions(self) -> list[Subscriber]:
        found = list(self._subscriptions.values())
        return [subscription for members in found for subscription in list(members)]

    # Called in relays' threads

    def publish(self, audiences: list[Audience]) -> bool:
        return self._call(self._deliver, audiences)

    def refresh_cursors(self, audiences: list[Audience]) -> bool:
        return self._call(self._deliver_cursors, audiences)

    def answer(self, asked: _Asked[Any]) -> None:
        """Have an answer told, in the loop: those of one pass together."""
        self._answered.append(asked)
        if self._telling and not self.loop.is_closed():
            return
        self._telling = True
        try:
            self.loop.call_soon_threadsafe(self._tell)
        except RuntimeError:
            self._over()

    def _call(self, do: Callable[[list[Audience], float], None], audiences: list[Audience]) -> bool:
        try:
            self.loop.call_soon_threadsafe(do, audiences, time.monotonic())
        except RuntimeError:
            self._over()
            return False
        return True

    def _over(self) -> None:
        """The loop is closed, and its connections with it."""
        while self._answered:
            self._answered.popleft().drop()
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.leave()

    # Called in the loop

    async def turn(self) -> None:
        """Come back when it's one's turn: not more than `AT_ONCE` are let through before whatever
        else the loop has to do."""
        if self._let_through < self.AT_ONCE and not self._in_line:
            if not self._let_through:
                self.loop.call_soon(self._next_turn)
            self._let_through += 1
            return
        turn: asyncio.Future[None] = self.loop.create_future()
        self._in_line.append(turn)
        await turn

    def _next_turn(self) -> None:
        self._let_through = 0
        while self._in_line and self._let_through < self.AT_ONCE:
            turn = self._in_line.popleft()
            if not turn.done():
                turn.set_result(None)
                self._let_through += 1
        if self._let_through:
            self.loop.call_soon(self._next_turn)

    def open(self, connection: Connection) -> None:
        self.tally.connections += 1
        self._connections.add(connection)

    def close(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _deliver(self, audiences: list[Audience], told: float) -> None:
        for audience in audiences:
            if audience in self._subscriptions:
                self._news.setdefault(audience, told)
        if not self._at_it:
            self._serve()

    def _serve(self) -> None:
        """Send news for a while, and go on when others have had their turn."""
        began = now = time.monotonic()
        until = began + self.SLICE
        self._at_it = False
        while self._serving is not None or self._news:
            if now > until:
                self._at_it = True
                break
            if self._serving is None:
                audience = next(iter(self._news))
                members = tuple(self._subscriptions.get(audience, ()))
                self._serving = _Round(audience, iter(members), self._news.pop(audience))
            try:
                done = self._push(self._serving, until)
            except Exception:
                logger.exception("A subscription can't be served; others are.")
                done = False
            now = time.monotonic()
            if done:
                self.tally.deliveries.add(now - self._serving.told)
                self._serving = None
        self._spent += now - began
        if self._at_it:
            self.loop.call_soon(self._serve)
        else:
            self.took, self._spent = self._spent, 0.0

    def _push(self, this: _Round, until: float) -> bool:
        """Serve some of an audience; whether those were all.

        Who is in step, has nothing else to be sent and reads, gets the frame that all of them
        share, without a task, a lock or a queue. Everybody else is on their own.
        """
        stream, classic, number = "", False, -1
        text, frame, after, events = "", None, -1, 0
        pushed = 0
        left = self.LOOK_AFTER
        for subscription in this.members:
            if (
                subscription.number != number
                or subscription.stream != stream
                or subscription.classic is not classic
            ):
                stream, classic, number = (
                    subscription.stream,
                    subscription.classic,
                    subscription.number,
                )
                self.tally.events += events * pushed
                pushed = 0
                text = ""
                frames = this.audience.made(stream, classic, number)
                if frames is not None and len(frames.texts) == 1:
                    (text,), after, events = frames
                    frame = text_frame(text)
            if text and subscription.push(text, frame, after):
                pushed += 1
            else:
                subscription.deliver()
            left -= 1
            if not left:
                if time.monotonic() > until:
                    self.tally.events += events * pushed
                    return False
                left = self.LOOK_AFTER
        self.tally.events += events * pushed
        return True

    def _deliver_cursors(self, audiences: list[Audience], told: float) -> None:
        for audience in audiences:
            for subscription in list(self._subscriptions.get(audience, ())):
                subscription.deliver_cursor()

    def add(self, subscription: Subscriber) -> None:
        self._subscriptions.setdefault(subscription.audience, set()).add(subscription)

    def remove(self, subscription: Subscriber) -> None:
        audience = subscription.audience
        members = self._subscriptions.get(audience, set())
        members.discard(subscription)
        if not members:
            self._subscriptions.pop(audience, None)

    async def ask(self, relay: Relay, work: Callable[[Pass], T], wants: Wants | None = None) -> T:
        """Have something done in a pass that begins from now on.

        Raises `databinding.relay.DatabaseAway`.
        """
        return await self._ask(relay, work, wants)

    async def _ask(
        self,
        relay: Relay,
        work: Callable[[Pass], T],
        wants: Wants | None,
        unwanted: Callable[[T], None] | None = None,
    ) -> T:
        relay.listen(self)
        asked = _Asked(self, relay, unwanted)
        self._asked.add(asked)
        if self._looking is None:
            self._looking = self.loop.call_later(self.LOOK, self._look)
        try:
            relay.put(work, wants, asked)
            return await asked.future
        except asyncio.CancelledError:
            if not asked.future.cancelled():
                asked.drop()  # It was told already.
            raise
        finally:
            self._asked.discard(asked)

    def _look(self) -> None:
        """Have nobody wait for a relay that hangs."""
        self._looking = None
        for asked in self._asked:
            if asked.relay.hangs() and not asked.future.done():
                asked.future.set_exception(DatabaseAway("The database doesn't answer; try again."))
        if self._asked:
            self._looking = self.loop.call_later(self.LOOK, self._look)

    def _tell(self) -> None:
        """Tell some of those who have asked. What they do then has its turn before the others."""
        self._telling = False
        for _ in range(min(len(self._answered), self.AT_ONCE)):
            self._answered.popleft().tell()
        if self._answered and not self._telling:
            self._telling = True
            self.loop.call_soon(self._tell)

    async def join(
        self,
        form: Form,
        groups: Iterable[str],
        stream: str,
        *,
        limit: int | None = None,
        classic: bool = False,
        cursor: str | None = None,
    ) -> Joined:
        """See `Pass.join`. If the caller is cancelled meanwhile, the place is given back.

        Raises `databinding.relay.DatabaseAway`.
        """
        relay = relay_for(form.binding.alias())
        joined = await self._ask(
            relay,
            lambda this: this.join(
                form, groups, stream, limit=limit, classic=classic, cursor=cursor
            ),
            (form, groups, limit),
            lambda unwanted: relay.leave(unwanted.audience, (stream, classic), unwanted.user),
        )
        self.tally.events += joined.frames.events
        if joined.resumed:
            self.tally.resumed += 1
        elif not classic:
            self.tally.snapshots += 1
            self.tally.refused += cursor is not None
        return joined

    def frames(self, subscription: Subscriber) -> Frames | None:
        """What the subscription lacks; None: a snapshot must. Raises `Busy`."""
        holdings = subscription.relay.holdings
        if not holdings.lock.acquire(blocking=False):
            raise Busy
        try:
            audience = subscription.audience
            if audience.form in holdings.moving:
                raise Busy
            if holdings.standing is None or audience.number <= subscription.number:
                return Frames((), subscription.number)
            return audience.frames(
                subscription.stream, subscription.classic, subscription.number, holdings.standing
            )
        finally:
            holdings.lock.release()

    def cursor_batch(self, subscription: Subscriber) -> Frames | None:
        """An empty batch with a fresh cursor, for one who is current. Raises `Busy`."""
        holdings = subscription.relay.holdings
        if not holdings.lock.acquire(blocking=False):
            raise Busy
        try:
            audience = subscription.audience
            if audience.form in holdings.moving:
                raise Busy
            if holdings.standing is None or audience.number != subscription.number:
                return None
            return audience.empty_batch(subscription.stream, holdings.standing)
        finally:
            holdings.lock.release()


class _Asked(Generic[T]):
    """What somebody in a loop has asked of a relay: a `databinding.relay.Answer`.

    `unwanted` is given the result if nobody waits for it any more.
    """

    __slots__ = ("_error", "_given", "_hub", "_result", "_unwanted", "future", "relay")

    _result: T

    def __init__(self, hub: Hub, relay: Relay, unwanted: Callable[[T], None] | None) -> None:
        self._hub = hub
        self.relay = relay
        self.future: asyncio.Future[T] = hub.loop.create_future()
        self._unwanted = unwanted
        self._error: BaseException | None = None
        self._given = False

    # Called in the relay's thread

    def done(self) -> bool:
        return self._given or self.future.done()

    def set_result(self, result: T) -> None:
        self._result = result
        self._give()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._give()

    def _give(self) -> None:
        self._given = True
        self._hub.answer(self)

    # Called in the loop; where that is closed, in the relay's thread

    def tell(self) -> None:
        if self.future.done():
            self.drop()
        elif self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)

    def drop(self) -> None:
        """Nobody waits any more."""
        unwanted = self._unwanted
        if self._given and self._error is None and unwanted is not None:
            self._unwanted = None  # Both who waited and who tells may find that he has gone.
            unwanted(self._result)


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}
#: Of every hub that there ever was: what has been counted stays counted.
_tallies: list[HubTally] = []
_making = threading.Lock()


def hubs() -> list[Hub]:
    """Those of this process."""
    with _making:
        return list(_hubs.values())


def tallies() -> list[HubTally]:
    """Of all hubs, also of those whose loop is closed."""
    with _making:
        return list(_tallies)


def running_hub() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    with _making:
        if loop not in _hubs:
            for closed in [other for other in _hubs if other.is_closed()]:
                del _hubs[closed]
            _hubs[loop] = Hub(loop)
            _tallies.append(_hubs[loop].tally)
        return _hubs[loop]
