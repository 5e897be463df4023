"""One stream of a connection: its rows, live, and the requests it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from uuid import uuid4
from weakref import WeakSet

from databinding import protocol
from databinding.client.backoff import Backoff
from databinding.client.changes import Change, Unseen
from databinding.client.errors import (
    DatabindingError,
    NotSentError,
    ProtocolError,
    RequestError,
    UnknownOutcomeError,
)
from databinding.client.frames import Frame, is_refusal
from databinding.client.options import Options
from databinding.client.pacer import Pacer
from databinding.client.requests import Reply, Requests
from databinding.client.store import Data, Step, Store
from databinding.difference import Key

logger = logging.getLogger("databinding.client")


class StreamState(StrEnum):
    #: No connection.
    IDLE = "idle"
    #: Catching up.
    SUBSCRIBING = "subscribing"
    #: The rows are what the database holds.
    LIVE = "live"
    #: The server doesn't let us: `error` says why.
    REFUSED = "refused"
    #: By `unsubscribe`, or with its connection.
    CLOSED = "closed"


OVER = {StreamState.REFUSED, StreamState.CLOSED}


class Row(NamedTuple):
    """A row as `list` answers it."""

    pk: Key
    data: Data


class Link(Protocol):
    """What a stream needs from its connection."""

    options: Options
    requests: Requests

    def send(self, text: str) -> bool: ...

    def forget(self, stream: Stream) -> None: ...


class Stream:
    """One stream of a connection: its rows, live, and the requests it takes.

        ints = live.stream("intval")
        async for change in ints:
            for event in change:
                print(event.action, event.pk, event.data)

        await ints.ready()
        ints.rows[1]
        await ints.update(1, {"value": 42})     # returns once `ints.rows` shows it

    Made by `Connection.stream`. Every iteration is by itself: its first change brings all rows
    there are, each further one what became of them since. To a consumer that is slow, changes come
    seldom and merged, each row with its latest state.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        params: Mapping[str, Any],
        store: Store,
        window: int,
    ) -> None:
        self.name = name
        self.params = dict(params)
        self.state = StreamState.IDLE
        #: Why it is over, or why the server couldn't serve it just now.
        self.error: DatabindingError | None = None
        #: Primary key → data: a state the database had. One view, as long as the stream lives;
        #: what it holds isn't to be changed. In a stream that was begun from a cursor alone it has
        #: only what was told since, until `loaded`.
        self.rows: Mapping[Key, Data] = MappingProxyType(store.rows)
        self._link = link
        self._store = store
        self._window = window
        self._backoff = Backoff(link.options.resubscribe)
        self._pacer = Pacer(window, link.options.ack_delay, self._acknowledge)
        self._again: asyncio.TimerHandle | None = None
        self._turn = asyncio.Event()
        # Did the server say yes to the subscription whose frames we want?
        self._accepted = False
        # Did any frame lead to a state yet?
        self._told = False
        self._iterations: WeakSet[Iteration] = WeakSet()

    @property
    def loaded(self) -> bool:
        """Are the rows all that there are? Tells "no rows" from "not known yet"."""
        return self._store.loaded

    @property
    def cursor(self) -> str | None:
        """Where the rows stand; opaque, for another `since`."""
        return self._store.cursor

    async def ready(self) -> None:
        """Return once the rows are what the database holds.

        Raises `RequestError` if the server refuses the stream, `ClosedError` if it closed the
        connection for good, `DatabindingError` if the stream was closed by us.
        """
        while self.state is not StreamState.LIVE:
            if self.state in OVER:
                raise self.error or DatabindingError(f"The stream {self.name} is closed.")
            await self._turn.wait()

    def __aiter__(self) -> AsyncIterator[Change]:
        iteration = Iteration(self, self._store)
        if self._told and self._store.loaded:
            iteration.step(Step(dict.fromkeys(self._store.rows), reset=True))
        self._iterations.add(iteration)
        return iteration

    # Requests

    async def request(self, action: str, payload: Mapping[str, Any] | None = None) -> Reply:
        """Any action of the binding. Without a connection it waits up to `send_timeout`.

        Raises `RequestError`, `UnknownOutcomeError` or `NotSentError`.
        """
        # The reply comes after the frames that show its effect, and for those there must be room,
        # also where it is the consumer of the stream who asks.
        self._pacer.seen()
        return await self._link.requests.ask(self.name, {**(payload or {}), "action": action})

    async def create(self, data: Mapping[str, Any], **more: Any) -> Reply:
        """Create a row; the reply's `pk` is its. `more`: further keys, as `idempotency_key`.

        It has a key of its own by which the server knows it again, so it is sent once more where
        its answer was lost, and stored once. Where no answer comes for `reply_timeout` at all that
        raises `UnknownOutcomeError`; whoever passed a key may go on with that later.
        """
        payload = {"idempotency_key": str(uuid4()), **more, "data": data}
        loop = asyncio.get_running_loop()
        until = loop.time() + self._link.options.reply_timeout
        lost: UnknownOutcomeError | None = None
        while True:
            try:
                return await self.request("create", payload)
            except UnknownOutcomeError as error:
                lost = error
            except NotSentError:
                if lost is None:
                    raise
            if loop.time() >= until or self._link.requests.closed:
                raise lost

    async def update(self, pk: Key, data: Mapping[str, Any], **more: Any) -> Reply:
        """Change the given fields of a row. `more`: further keys of the payload, as `expect`."""
        return await self.request("update", {**more, "pk": pk, "data": data})

    async def delete(self, pk: Key, **more: Any) -> Reply:
        """Delete a row. `more`: further keys of the payload, as `expect`."""
        return await self.request("delete", {**more, "pk": pk})

    async def retrieve(self, pk: Key) -> Reply:
        """One row, read anew from the database."""
        return await self.request("retrieve", {"pk": pk})

    async def list(self, **more: Any) -> Sequence[Row]:
        """Rows by primary key. `more`: `limit`, `after` (a primary key)."""
        reply = await self.request("list", more)
        return [Row(item["pk"], item["data"]) for item in reply.data]

    async def unsubscribe(self) -> None:
        """End the subscription and every iteration; the rows stay as they are."""
        if self.state in OVER:
            return
        subscribed = self.state is not StreamState.IDLE
        self.close(None)
        self._link.forget(self)
        if subscribed:
            try:
                await self.request(protocol.UNSUBSCRIBE)
            except (NotSentError, UnknownOutcomeError):
                pass  # A subscription ends with its connection.

    # From the connection

    def connected(self) -> None:
        """There is a connection: subscribe."""
        self._store.begin()
        self._accepted = False
        payload = {**self.params, "action": protocol.SUBSCRIBE, "window": self._window}
        if self._store.cursor is not None:
            payload["cursor"] = self._store.cursor
        self._set(StreamState.SUBSCRIBING)
        self._link.requests.add(self.name, payload, self._answered)

    def disconnected(self) -> None:
        """The connection was lost."""
        self._stop()
        if self.state not in OVER:
            self._set(StreamState.IDLE, self.error)

    def close(self, error: DatabindingError | None) -> None:
        """It is over; with an error, consumers are told."""
        if self.state not in OVER:
            self._stop()
            self._set(StreamState.CLOSED, error)

    def received(self, frame: Frame) -> None:
        """A frame of this stream that answers no request."""
        action = frame.payload.get("action")
        if action in (protocol.SNAPSHOT, protocol.BATCH):
            if self._accepted:
                self._apply(frame)
        elif action == protocol.SUBSCRIBE and not is_refusal(frame.payload):
            # Rights have changed in the midst of a snapshot; another one takes its place.
            self._store.begin()
        elif action == protocol.UNSUBSCRIBE:
            # Rights have changed: it isn't ours to see any more.
            self._refused(RequestError(frame.payload))
        elif is_refusal(frame.payload):
            logger.warning("Stream %s: %s", self.name, RequestError(frame.payload))

    def taken(self) -> None:
        """A consumer took what it hadn't seen."""
        if not any(iteration.unseen for iteration in self._iterations):
            self._pacer.seen()

    def _answered(self, outcome: Reply | DatabindingError) -> None:
        if self.state is not StreamState.SUBSCRIBING:
            return
        if isinstance(outcome, Reply):
            self._accepted = True
        elif isinstance(outcome, RequestError) and outcome.status < 500 and outcome.status != 429:
            self._refused(outcome)
        else:
            self._fail(outcome)

    def _refused(self, error: RequestError) -> None:
        if self.state not in OVER:
            self._stop()
            self._set(StreamState.REFUSED, error)
            self._link.forget(self)

    def _apply(self, frame: Frame) -> None:
        try:
            step = self._store.take(frame.payload, frame.cursor)
        except ProtocolError as error:
            # What the rows are can't be told any more: ask anew.
            error.stream = self.name
            self._store.forget()
            self._fail(error)
            return
        if step is None:
            # Nobody is shown a part of a snapshot, so nobody deals with it either.
            self._pacer.applied(None)
            self._pacer.seen()
            return
        if self.state is StreamState.SUBSCRIBING:
            self._backoff.reset()
            self._set(StreamState.LIVE)
        self._told = True
        for iteration in self._iterations:
            iteration.step(step)
        # What has to be told of rows that aren't held isn't bounded by the rows there are: there
        # the server must wait for the consumer, which goes without the promise of fresh rows.
        self._pacer.applied(self._link.options.patience if self._store.loaded else None)
        if not self._iterations or self._link.requests.waits(self.name):
            self._pacer.seen()

    def _fail(self, error: DatabindingError) -> None:
        """It doesn't work just now: try again later."""
        logger.warning("Stream %s: %s Trying again.", self.name, error)
        self._stop()
        self._set(StreamState.IDLE, error)
        loop = asyncio.get_running_loop()
        wait = error.retry_after if isinstance(error, RequestError) else None
        # Not all at once either, who are told the same.
        self._again = loop.call_later((wait or 0) + self._backoff.next(), self.connected)

    def _stop(self) -> None:
        self._accepted = False
        self._pacer.reset()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _acknowledge(self, frames: int) -> None:
        payload = {"action": protocol.ACK, "frames": frames}
        self._link.send(protocol.encode({"stream": self.name, "payload": payload}))

    def _set(self, state: StreamState, error: DatabindingError | None = None) -> None:
        self.state, self.error = state, error
        self._turn.set()
        self._turn = asyncio.Event()
        if state in OVER:
            for iteration in self._iterations:
                iteration.news.set()


class Iteration(AsyncIterator[Change]):
    """One consumer of a stream."""

    def __init__(self, stream: Stream, store: Store) -> None:
        self.unseen = Unseen()
        self.news = asyncio.Event()
        self._stream = stream
        self._store = store

    def step(self, step: Step) -> None:
        self.unseen.add(step, self._store.rows)
        self.news.set()

    async def __anext__(self) -> Change:
        while not self.unseen:
            if self._stream.state in OVER:
                if self._stream.error is not None:
                    raise self._stream.error
                raise StopAsyncIteration
            self.news.clear()
            await self.news.wait()
        change = self.unseen.take(self._store.rows, self._store.cursor)
        self._stream.taken()
        return change
